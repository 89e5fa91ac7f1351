"""The page of the user's API keys: create a key, which is shown once, list them, and revoke them."""

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

# A page of more keys is not readable; the API lists all of them.
KEYS_MAX = 100
LIFETIMES = {"": "never", "7": "in 7 days", "30": "in 30 days", "90": "in 90 days", "365": "in 365 days"}


class ApiKeyForm(forms.Form):
    """Name and rights of a new key."""

    name = forms.CharField(max_length=100)
    scopes = forms.MultipleChoiceField(choices=Scope.choices, initial=default_scopes)
    lifetime = forms.ChoiceField(choices=list(LIFETIMES.items()), required=False)
    credits_max = forms.IntegerField(min_value=0, max_value=CREDITS_MAX, required=False)
    models = forms.MultipleChoiceField(choices=[(slug, model.title) for slug, model in MODELS.items()], required=False)

    @property
    def rights(self) -> api_keys.Rights:
        """The rights that a valid form describes."""
        values = self.cleaned_data
        days = values["lifetime"]
        return api_keys.Rights(
            scopes=frozenset(values["scopes"]),
            expires_at=timezone.now() + timedelta(days=int(days)) if days else None,
            credits_max=values["credits_max"],
            models=frozenset(values["models"]),
        )


# The new key must not lie in a cache, nor come back with the back button.
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def show(request: UserRequest) -> HttpResponse:
    """List the keys. A POST creates one, and its answer is the only page that shows it."""
    if request.method != "POST":
        return _render(request, ApiKeyForm())
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return _render(request, form, status=422)
    # Rendered without a redirect: the key must not pass through a session or a cookie.
    issued = api_keys.issue(request.user, form.cleaned_data["name"], rights=form.rights)
    return _render(request, ApiKeyForm(), plain=issued.plain)


@require_POST
@login_required
def revoke(request: UserRequest, key_id: UUID) -> HttpResponse:
    key = get_object_or_404(ApiKey.objects.visible_to(request.user), uid=key_id)
    api_keys.revoke(key)
    messages.info(request, f"{key} was revoked.")
    return redirect("api-keys")


def _render(request: UserRequest, form: ApiKeyForm, *, plain: str = "", status: int = 200) -> HttpResponse:
    keys = quotas.with_credits_spent(ApiKey.objects.visible_to(request.user)).order_by("-pk")[:KEYS_MAX]
    context: dict[str, Any] = {"form": form, "keys": keys, "plain": plain, "now": timezone.now()}
    return render(request, "pages/api_keys.html", context, status=status)
