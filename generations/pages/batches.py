"""Several at once: the page of a batch, and the form that makes infographics of a wish and a blog page."""

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
from generations import lifecycle, services
from generations.catalogue import InvalidInput
from generations.http.login_required import UserRequest, actor_of, login_required
from generations.infographics import prompts
from generations.models import Batch, CancelledBy, Generation
from generations.ordering import orders
from generations.pages.create import REFUSALS, model_or_404, nonce_of, status_of
from generations.pages.presenters import STORED, Showing


class InfographicsForm(forms.Form):
    prompt = forms.CharField(
        label="What should it tell?", max_length=prompts.PROMPT_INPUT_CHARACTERS_MAX, widget=forms.Textarea({"rows": 4})
    )
    blog_url = forms.URLField(
        label="A page as material",
        required=False,
        max_length=2048,
        assume_scheme="https",
        help_text="Its article is read; optional.",
    )
    aspect_ratio = forms.ChoiceField(choices=[(name, name) for name in prompts.ASPECT_RATIOS])
    resolution = forms.ChoiceField(choices=[(name, name) for name in prompts.RESOLUTIONS], initial="2K")
    count = forms.IntegerField(label="How many", min_value=1, max_value=prompts.COUNT_MAX, initial=1)
    notify = forms.BooleanField(label="Write me an e-mail when they are made", required=False)

    def order(self, account: Account, nonce: str) -> orders.BatchOrder:
        """Reads the page; raises InvalidInput when it cannot be read, outside.Busy."""
        asked = self.cleaned_data
        said = json.dumps(asked, sort_keys=True)
        request_hash = hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()
        infographic = prompts.InfographicRequest(
            prompt=asked["prompt"],
            article=prompts.read_page(account, asked["blog_url"]) if asked["blog_url"] else None,
            aspect_ratio=asked["aspect_ratio"],
            resolution=asked["resolution"],
            count=asked["count"],
        )
        return orders.BatchOrder(
            orders=infographic.orders(),
            purpose=prompts.PURPOSE,
            notify=asked["notify"],
            # A double click is one order, as with any other form.
            idempotency_key=f"page:{nonce}:{request_hash[:32]}",
            request_hash=request_hash,
        )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new_infographics(request: UserRequest) -> HttpResponse:
    if request.method != "POST":
        return _show(request, InfographicsForm())
    form = InfographicsForm(request.POST)
    return _order(request, form) if form.is_valid() else _show(request, form, status=422)


def _order(request: UserRequest, form: InfographicsForm) -> HttpResponse:
    account = Account.objects.for_user(request.user)
    try:
        model_or_404(prompts.MODEL)
        batch, _ = services.place_batch(account, form.order(account, nonce_of(request)), actor=actor_of(request.user))
    except InvalidInput as error:
        for each in error.errors:
            form.add_error(each["loc"][0] if each["loc"][0] in form.fields else None, each["msg"])
        return _show(request, form, status=422)
    except tuple(REFUSALS) as error:
        return _show(request, form, status=status_of(error), refusal=str(error))
    return redirect("batch", batch.pk)


def _show(request: UserRequest, form: InfographicsForm, *, status: int = 200, refusal: str = "") -> HttpResponse:
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
    return render(request, "pages/batch.html", _context(_mine(request, batch_id)))


@require_safe
@never_cache
@login_required
def status(request: UserRequest, batch_id: UUID) -> HttpResponse:
    context = _context(_mine(request, batch_id))
    if request.GET.get("version") == str(context["version"]):
        return HttpResponse(status=204)
    return render(request, "pages/_batch.html", context)


@require_POST
@login_required
def cancel(request: UserRequest, batch_id: UUID) -> HttpResponse:
    mine = _mine(request, batch_id)
    for each in mine.generations.all():
        lifecycle.cancel_asked(each, by=CancelledBy.CUSTOMER, actor=actor_of(request.user))
    messages.info(request, "What had not begun is cancelled; of the rest, the provider’s answer decides.")
    return redirect("batch", mine.pk)


def _mine(request: UserRequest, batch_id: UUID) -> Batch:
    generations = Generation.objects.order_by("pk").prefetch_related(STORED)
    mine = Batch.objects.visible_to(request.user).prefetch_related(Prefetch("generations", generations))
    return get_object_or_404(mine, pk=batch_id)


def _context(batch: Batch) -> dict[str, Any]:
    generations = list(batch.generations.all())
    return {
        "batch": batch,
        "cards": [Showing(each) for each in generations],
        "done": sum(each.is_done for each in generations),
        "is_done": all(each.is_done for each in generations),
        "version": sum(each.version for each in generations),
        "prompt": generations[0].input.get("prompt", ""),
    }
