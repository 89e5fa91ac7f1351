"""The page of one's API keys: made here and shown once, looked at, revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import api_keys
from accounts.models import ApiKey, Scope, default_scopes
from credits.models import CREDITS_MAX
from generations.catalogue import MODELS
from generations.http.login_required import UserRequest, login_required
from generations.ordering import quotas

# Who has more has long lost track of them; the API shows them all.
SHOWN_MAX = 100
LIFETIMES = {"": "never", "7": "in a week", "30": "in 30 days", "90": "in 90 days", "365": "in a year"}


class KeyForm(forms.Form):
    """What a new key may."""

    name = forms.CharField(max_length=100)
    scopes = forms.MultipleChoiceField(choices=Scope.choices, initial=default_scopes)
    lifetime = forms.ChoiceField(choices=list(LIFETIMES.items()), required=False)
    credits_max = forms.IntegerField(min_value=0, max_value=CREDITS_MAX, required=False)
    models = forms.MultipleChoiceField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = self.fields["models"]
        if isinstance(offered, forms.MultipleChoiceField):
            offered.choices = [(slug, model.title) for slug, model in MODELS.items()]

    @property
    def rights(self) -> api_keys.Rights:
        asked = self.cleaned_data
        days = asked["lifetime"]
        return api_keys.Rights(
            scopes=frozenset(asked["scopes"]),
            expires_at=timezone.now() + timedelta(days=int(days)) if days else None,
            credits_max=asked["credits_max"],
            models=frozenset(asked["models"]),
        )


# What it shows once must not lie in a cache, nor come back with the back button.
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def keys(request: UserRequest) -> HttpResponse:
    if request.method != "POST":
        return _show(request, KeyForm())
    form = KeyForm(request.POST)
    if not form.is_valid():
        return _show(request, form, status=422)
    issued = api_keys.issue(request.user, form.cleaned_data["name"], rights=form.rights)
    return _show(request, KeyForm(), plain=issued.plain)


@require_POST
@login_required
def revoke(request: UserRequest, key_id: UUID) -> HttpResponse:
    key = get_object_or_404(ApiKey.objects.visible_to(request.user), uid=key_id)
    api_keys.revoke(key)
    messages.info(request, f"{key} opens nothing any more.")
    return redirect("api-keys")


def _show(request: UserRequest, form: KeyForm, *, plain: str = "", status: int = 200) -> HttpResponse:
    mine = quotas.with_credits_spent(ApiKey.objects.visible_to(request.user)).order_by("-pk")[:SHOWN_MAX]
    context = {"form": form, "keys": mine, "plain": plain, "now": timezone.now()}
    return render(request, "pages/api_keys.html", context, status=status)
