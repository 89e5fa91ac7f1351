"""The pages of a batch: the form that orders infographics, and the progress of generations that were ordered together.

The infographics form builds a batch order from a prompt and, optionally, from the article of a web page; it shares its
nonce, refusals and statuses with the other order form (`generations.pages.create`).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from credits.models import Account
from generations import services
from generations.catalogue import InvalidInput
from generations.http.login_required import UserRequest, actor_of, login_required
from generations.infographics import prompts
from generations.models import Batch, CancelledBy, Generation
from generations.ordering.orders import BatchOrder
from generations.pages.create import REFUSALS, model_or_404, nonce_of, refusal_status
from generations.pages.presenters import STORED_OUTPUTS, GenerationPresenter


class InfographicsForm(forms.Form):
    prompt = forms.CharField(
        max_length=prompts.PROMPT_INPUT_CHARACTERS_MAX,
        widget=forms.Textarea({"rows": 4}),
        help_text="What the infographic should explain.",
    )
    blog_url = forms.URLField(
        label="Web page",
        required=False,
        max_length=2048,
        assume_scheme="https",
        help_text="Optional. The article on this page is used as the source.",
    )
    aspect_ratio = forms.ChoiceField(choices=[(name, name) for name in prompts.ASPECT_RATIOS])
    resolution = forms.ChoiceField(choices=[(name, name) for name in prompts.RESOLUTIONS], initial="2K")
    count = forms.IntegerField(label="Number of images", min_value=1, max_value=prompts.COUNT_MAX, initial=1)
    notify = forms.BooleanField(label="Send me an e-mail when all of them have ended", required=False)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def infographics(request: UserRequest) -> HttpResponse:
    """Render the form for infographics. A rejected order shows it again with everything that was entered."""
    if request.method != "POST":
        return _render_form(request, InfographicsForm())
    form = InfographicsForm(request.POST)
    if not form.is_valid():
        return _render_form(request, form, status=422)
    # Checked before the web page is fetched.
    model_or_404(prompts.MODEL)
    account = Account.objects.for_user(request.user)
    try:
        order = _batch_order(account, form.cleaned_data, nonce_of(request))
        batch, _ = services.place_batch(account, order, actor=actor_of(request.user))
    except InvalidInput as error:
        for each in error.errors:
            # An error of an input that the form does not show belongs to the form as a whole.
            form.add_error(each["loc"][0] if each["loc"][0] in form.fields else None, each["msg"])
        return _render_form(request, form, status=422)
    except tuple(REFUSALS) as error:
        return _render_form(request, form, status=refusal_status(error), refusal=str(error))
    return redirect("batch", batch.pk)


def _batch_order(account: Account, values: dict[str, Any], nonce: str) -> BatchOrder:
    """Return the order of a valid form.

    The web page is fetched, if one is named. Raises InvalidInput, concurrency.Busy.
    """
    # The hash covers the form, not the article, which may have changed by the second click.
    canonical = json.dumps(values, sort_keys=True)
    request_hash = hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()
    infographic = prompts.InfographicRequest(
        prompt=values["prompt"],
        article=prompts.read_page(values["blog_url"], account_id=account.pk) if values["blog_url"] else None,
        aspect_ratio=values["aspect_ratio"],
        resolution=values["resolution"],
        count=values["count"],
    )
    return BatchOrder(
        orders=infographic.orders(),
        purpose=prompts.PURPOSE,
        notify=values["notify"],
        # A double click is one order. A changed form is another one.
        idempotency_key=f"page:{nonce}:{request_hash[:32]}",
        request_hash=request_hash,
    )


def _render_form(request: UserRequest, form: InfographicsForm, *, status: int = 200, refusal: str = "") -> HttpResponse:
    context = {
        "form": form,
        "nonce": nonce_of(request),
        "refusal": refusal,
        "model": model_or_404(prompts.MODEL),
        "available": Account.objects.for_user(request.user).available,
    }
    return render(request, "pages/infographics.html", context, status=status)


@require_safe
@never_cache
@login_required
def batch(request: UserRequest, batch_id: UUID) -> HttpResponse:
    return render(request, "pages/batch.html", _batch_context(_get_batch(request, batch_id)))


@require_safe
@never_cache
@login_required
def status(request: UserRequest, batch_id: UUID) -> HttpResponse:
    """Render the progress as a fragment, which htmx polls. Answers 204 if nothing has changed since `?version=`."""
    context = _batch_context(_get_batch(request, batch_id))
    if request.GET.get("version") == str(context["version"]):
        return HttpResponse(status=204)
    return render(request, "pages/_batch.html", context)


@require_POST
@login_required
def cancel(request: UserRequest, batch_id: UUID) -> HttpResponse:
    batch = get_object_or_404(Batch.objects.visible_to(request.user), pk=batch_id)
    services.cancel_batch(batch, by=CancelledBy.CUSTOMER, actor=actor_of(request.user))
    messages.info(
        request,
        "Generations that had not been submitted are cancelled. For the others, the provider has been asked to stop.",
    )
    return redirect("batch", batch.pk)


def _get_batch(request: UserRequest, batch_id: UUID) -> Batch:
    generations = Generation.objects.order_by("pk").prefetch_related(STORED_OUTPUTS)
    batches = Batch.objects.visible_to(request.user).prefetch_related(Prefetch("generations", generations))
    return get_object_or_404(batches, pk=batch_id)


def _batch_context(batch: Batch) -> dict[str, Any]:
    generations = list(batch.generations.all())
    return {
        "batch": batch,
        "cards": [GenerationPresenter(generation) for generation in generations],
        "done": sum(generation.is_done for generation in generations),
        "is_done": all(generation.is_done for generation in generations),
        # Versions only grow, so their sum changes with every change of any of the generations.
        "version": sum(generation.version for generation in generations),
        # All generations of a batch of infographics have the same prompt.
        "prompt": generations[0].input.get("prompt", ""),
    }
