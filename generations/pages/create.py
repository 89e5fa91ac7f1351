"""The pages for placing an order: the list of models, the form of one model, its price, and the repetition of an order.

The views read the form, let `generations.services` place the order, and redirect to the page of the generation. A
rejected order shows the form again with everything that was entered. Each rendered form carries a nonce, so a double
click on its button places one order.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from credits.ledger import InsufficientCredits
from credits.models import Account
from generations import services
from generations.catalogue import InvalidInput, Model, UnknownModel
from generations.errors import (
    AlreadyFinished,
    NotCompleted,
    NotFinished,
    NotFound,
    PriceChanged,
    ProviderUnfunded,
    RateLimited,
)
from generations.files import sandbox
from generations.http.login_required import UserRequest, actor_of, login_required
from generations.models import Generation
from generations.ordering import input_files, price_book, quotas
from generations.ordering.orders import DuplicateOrder, Order
from generations.pages import form_uploads, forms
from generations.pages.form_uploads import PLACEHOLDER_URL, SubmittedForm
from generations.pages.forms import OrderForm
from generations.pages.labels import credits_text
from generations.services import PlacedOrder

# Values for required inputs that the price does not depend on, so it can be shown before they are filled in.
PLACEHOLDERS: dict[str, Any] = {"prompt": "–", "image": PLACEHOLDER_URL, "images": [PLACEHOLDER_URL]}
# Reasons to reject an order whose inputs are valid, with the status of the form that is shown again.
REFUSALS: dict[type[Exception], int] = {
    InsufficientCredits: 402,
    quotas.OrderRefused: 429,
    RateLimited: 429,
    ProviderUnfunded: 503,
    input_files.FilesUnreachable: 503,
    sandbox.SandboxUnavailable: 503,
}


@require_safe
@login_required
def models(request: UserRequest) -> HttpResponse:
    return render(request, "pages/models.html", {"models": price_book.offered()})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def create(request: UserRequest, slug: str) -> HttpResponse:
    """Render the form of one model. Its buttons order, apply a preset, or (without JavaScript) update the price."""
    model = model_or_404(slug)
    if request.method != "POST":
        return _render_form(request, OrderForm(model=model, values=_initial_values(request, model)))
    # Images are stored first, so none of the answers below loses them.
    submitted = form_uploads.read_submitted(request, model)
    form = OrderForm(model=model, values=submitted.values, errors=submitted.errors)
    if (preset := request.POST.get("preset")) is not None:
        return _render_form(request, replace(form, values={**form.values, **model.presets.get(preset, {})}))
    # The button "price" updates the form: without JavaScript its price, and in a group its empty item.
    if "price" in request.POST or form.errors:
        return _render_form(request, form, status=422 if form.errors else 200)
    return _place_and_redirect(request, form, lambda: _place_order(request, form, submitted))


@require_POST
@login_required
def quote(request: UserRequest, slug: str) -> HttpResponse:
    """Render the price of the form as a fragment, which htmx requests while the form is filled in."""
    model = model_or_404(slug)
    form = OrderForm(model=model, values=form_uploads.read_for_quote(request.POST, model))
    return render(request, "pages/_price.html", _price_context(request, form))


@require_POST
@login_required
def retry(request: UserRequest, generation_id: UUID) -> HttpResponse:
    """Order a failed generation again. If that is rejected, its inputs are shown in the form of its model."""
    return _repeat(request, generation_id, services.retry)


@require_POST
@login_required
def again(request: UserRequest, generation_id: UUID) -> HttpResponse:
    """Order a completed generation again, at the price that its button has named."""
    # A form without a price is none of Limn's. It is answered like one whose price has changed.
    given = request.POST.get("credits", "")
    credits = int(given) if re.fullmatch(r"[0-9]{1,18}", given) else -1
    return _repeat(request, generation_id, partial(services.order_again, credits=credits))


def _repeat(request: UserRequest, generation_id: UUID, place: Callable[..., PlacedOrder]) -> HttpResponse:
    earlier = get_object_or_404(Generation.objects.visible_to(request.user), pk=generation_id)
    model = model_or_404(earlier.model)
    # The nonce of the page that the button is on: two clicks are one order. Those in two tabs have two nonces.
    key = f"page:{nonce_of(request)}:repeat:{earlier.pk.hex}"
    place = partial(
        place,
        Account.objects.for_user(request.user),
        earlier,
        actor=actor_of(request.user),
        idempotency_key=key,
        request_hash=hashlib.sha256(key.encode()).hexdigest(),
    )
    try:
        return _place_and_redirect(request, OrderForm(model=model, values=_values_of(earlier, model)), place)
    except DuplicateOrder as error:
        messages.info(request, "You ordered this again a moment ago, so nothing more was ordered. This is that order.")
        return redirect("generation", error.earlier)
    except PriceChanged as error:
        messages.error(request, f"Nothing was ordered, because the price is now {credits_text(error.needed)}.")
    except (AlreadyFinished, NotCompleted, NotFinished):
        # Only the page of a generation in the right state has the button, so the page was an old one.
        pass
    return redirect("generation", earlier.pk)


def _place_order(request: UserRequest, form: OrderForm, submitted: SubmittedForm) -> PlacedOrder:
    canonical = json.dumps([form.model.slug, form_uploads.canonical_json(form.values)])
    request_hash = hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()
    order = Order(
        model=form.model,
        inputs=form.model.read(form.values),
        raw_input=form.values,
        preset=form.preset,
        # A double click is one order. Going back, changing the prompt and ordering again is another one.
        idempotency_key=f"page:{nonce_of(request)}:{request_hash[:32]}",
        request_hash=request_hash,
    )
    placed = services.place_order(Account.objects.for_user(request.user), order, actor=actor_of(request.user))
    if not placed.is_new:
        # The first click stored the same images, and the order refers to those.
        submitted.discard_uploads()
    return placed


def _place_and_redirect(request: UserRequest, form: OrderForm, place: Callable[[], PlacedOrder]) -> HttpResponse:
    """Call `place` and redirect to the generation. A rejected order shows the form again, with its values."""
    try:
        placed = place()
    except (price_book.NotOffered, NotFound) as error:
        # The model was withdrawn, or the generation erased, after the page was rendered.
        raise Http404(str(error)) from error
    except InvalidInput as error:
        return _render_form(request, replace(form, errors=error.errors), status=422)
    except tuple(REFUSALS) as error:
        return _render_form(request, form, status=refusal_status(error), refusal=str(error))
    if not placed.is_new:
        messages.info(request, "You have already placed this order. It was charged once.")
    return redirect("generation", placed.generation.pk)


def _render_form(request: UserRequest, form: OrderForm, *, status: int = 200, refusal: str = "") -> HttpResponse:
    context = {"form": form, "nonce": nonce_of(request), "refusal": refusal, **_price_context(request, form)}
    return render(request, "pages/create.html", context, status=status)


def _price_context(request: UserRequest, form: OrderForm) -> dict[str, Any]:
    """Return the context of `_price.html`. `credits` is None as long as the values are not valid."""
    widgets = {name: schema.get("x-widget") for name, schema in form.model.schema["properties"].items()}
    required = [name for name in form.model.required_inputs(form.values) if widgets[name] in PLACEHOLDERS]
    # Whatever was entered replaces its placeholder.
    values = {name: PLACEHOLDERS[widgets[name]] for name in required} | dict(form.values)
    credits: int | None
    try:
        credits = form.model.credits(form.model.read(values))
    except InvalidInput:
        credits = None
    # Read at every request: orders of other clients of the account change it.
    available = Account.objects.for_user(request.user).available
    missing = max(0, credits - available) if credits is not None else 0
    return {"model": form.model, "credits": credits, "available": available, "missing": missing}


def _initial_values(request: UserRequest, model: Model) -> Mapping[str, Any]:
    """Return the defaults of the model, changed by what the URL names: `?like=<generation>` or `?output=<output>`."""
    defaults = forms.default_values(model)
    # Ids that do not exist or belong to another user fill in nothing, and are no error: the form works without them.
    try:
        earlier = Generation.objects.visible_to(request.user).get(
            pk=UUID(request.GET.get("like", "")), model=model.slug
        )
    except (ValueError, Generation.DoesNotExist):
        return {**defaults, **form_uploads.initial_file(request, model)}
    return {**defaults, **_values_of(earlier, model)}


def _values_of(generation: Generation, model: Model) -> dict[str, Any]:
    # An order through the API may name a preset without repeating its inputs.
    return {**model.presets.get(generation.preset, {}), **generation.input}


def refusal_status(refusal: Exception) -> int:
    """Return the HTTP status for an exception of one of the types in `REFUSALS`."""
    return next(status for kind, status in REFUSALS.items() if isinstance(refusal, kind))


def nonce_of(request: HttpRequest) -> str:
    """Return the nonce of the submitted form, or a new one for a form that is rendered."""
    given = request.POST.get("nonce", "")
    return given if re.fullmatch(r"[0-9a-f]{32}", given) else uuid4().hex


def model_or_404(slug: str) -> Model:
    """Return the model at the current price. Raises Http404 if it does not exist or is not offered."""
    try:
        return price_book.find(slug)
    except UnknownModel as error:
        raise Http404(str(error)) from error
