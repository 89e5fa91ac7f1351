"""The pages that order: what is on offer, the form, its price, and once more what was ordered before."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
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
from generations.errors import NotFound, ProviderUnfunded
from generations.files import sandbox
from generations.http.login_required import UserRequest, actor_of, login_required
from generations.models import Generation, Status
from generations.ordering import input_files, price_book, quotas
from generations.ordering.orders import Order
from generations.pages import form_uploads, forms
from generations.pages.forms import Form
from generations.safe_http import concurrency
from generations.services import PlacedOrder

# The price does not hang on these, and is wanted before they are filled in.
STAND_INS: dict[str, Any] = {"prompt": "–", "image": form_uploads.STAND_IN, "images": [form_uploads.STAND_IN]}
# Why an order is not taken, though its inputs fit. The form keeps what was typed, and says it.
REFUSALS: dict[type[Exception], int] = {
    InsufficientCredits: 402,
    quotas.OrderRefused: 429,
    concurrency.Busy: 429,
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
def new(request: UserRequest, slug: str) -> HttpResponse:
    model = model_or_404(slug)
    if request.method != "POST":
        return _show(request, Form(model=model, values=_begin_with(request, model)))
    sent = form_uploads.receive(request, model)
    form = Form(model=model, values=sent.values, errors=sent.errors)
    if (preset := request.POST.get("preset")) is not None:
        return _show(request, replace(form, values={**form.values, **model.presets.get(preset, {})}))
    if "price" in request.POST or form.errors:
        return _show(request, form, status=422 if form.errors else 200)
    return _order(request, form, sent)


@require_POST
@login_required
def price(request: UserRequest, slug: str) -> HttpResponse:
    model = model_or_404(slug)
    form = Form(model=model, values=form_uploads.awaited(request.POST, model))
    return render(request, "pages/_price.html", _price(request, form))


@require_POST
@login_required
def retry(request: UserRequest, generation_id: UUID) -> HttpResponse:
    earlier = get_object_or_404(Generation.objects.visible_to(request.user), pk=generation_id)
    if earlier.status != Status.FAILED:
        return redirect("generation", earlier.pk)
    model = model_or_404(earlier.model)
    # The nonce of the rendered page: two clicks on one page are one order.
    key = f"page:{nonce_of(request)}:retry:{earlier.pk.hex}"
    form = Form(model=model, values=_values_of(earlier, model))

    def place() -> PlacedOrder:
        return services.retry(
            Account.objects.for_user(request.user),
            earlier,
            actor=actor_of(request.user),
            idempotency_key=key,
            request_hash=hashlib.sha256(key.encode()).hexdigest(),
        )

    return _place(request, form, place)


def _order(request: UserRequest, form: Form, sent: form_uploads.Sent) -> HttpResponse:
    def place() -> PlacedOrder:
        canonical = json.dumps([form.model.slug, form_uploads.by_content(form.values)])
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
        account = Account.objects.for_user(request.user)
        placed = services.place_order(account, order, actor=actor_of(request.user))
        if not placed.is_new:
            sent.forget()
        return placed

    return _place(request, form, place)


def _place(request: UserRequest, form: Form, place: Callable[[], PlacedOrder]) -> HttpResponse:
    """Places the order. Redirects to its page; if it is refused, shows the form again with what was typed."""
    try:
        placed = place()
    except (price_book.NotOffered, NotFound) as error:
        # The model was taken off, or the generation erased, after the page was rendered.
        raise Http404(str(error)) from error
    except InvalidInput as error:
        return _show(request, replace(form, errors=error.errors), status=422)
    except tuple(REFUSALS) as error:
        return _show(request, form, status=status_of(error), refusal=str(error))
    if not placed.is_new:
        messages.info(request, "You have ordered this already; here it is. It was charged once.")
    return redirect("generation", placed.generation.pk)


def _show(request: UserRequest, form: Form, *, status: int = 200, refusal: str = "") -> HttpResponse:
    context = {"form": form, "nonce": nonce_of(request), "refusal": refusal, **_price(request, form)}
    return render(request, "pages/create.html", context, status=status)


def _price(request: UserRequest, form: Form) -> dict[str, Any]:
    credits, available = _quote(form), Account.objects.for_user(request.user).available
    short = max(0, credits - available) if credits is not None else 0
    return {"model": form.model, "credits": credits, "available": available, "short": short}


def _quote(form: Form) -> int | None:
    """What an order of these inputs would cost; None while they fit no order."""
    widgets = {name: schema.get("x-widget") for name, schema in form.model.schema["properties"].items()}
    needed = (name for name in form.model.required_inputs(form.values) if widgets[name] in STAND_INS)
    typed = {name: STAND_INS[widgets[name]] for name in needed} | dict(form.values)
    try:
        return form.model.credits(form.model.read(typed))
    except InvalidInput:
        return None


def _begin_with(request: UserRequest, model: Model) -> Mapping[str, Any]:
    """The model's defaults, and the picture that the address names; or what an earlier order of one's own asked for."""
    try:
        earlier = Generation.objects.visible_to(request.user).get(
            pk=UUID(request.GET.get("like", "")), model=model.slug
        )
    except (ValueError, Generation.DoesNotExist):
        return {**forms.defaults(model), **form_uploads.prefilled(request, model)}
    return {**forms.defaults(model), **_values_of(earlier, model)}


def _values_of(generation: Generation, model: Model) -> dict[str, Any]:
    # Through the API a preset's inputs are named, not spelled out.
    return {**model.presets.get(generation.preset, {}), **generation.input}


def status_of(refusal: Exception) -> int:
    """One of REFUSALS, as an HTTP status."""
    return next(status for kind, status in REFUSALS.items() if isinstance(refusal, kind))


def nonce_of(request: HttpRequest) -> str:
    """One a rendered form, so that a second click is known for one."""
    given = request.POST.get("nonce", "")
    return given if re.fullmatch(r"[0-9a-f]{32}", given) else uuid4().hex


def model_or_404(slug: str) -> Model:
    try:
        return price_book.find(slug)
    except UnknownModel as error:
        raise Http404(str(error)) from error
