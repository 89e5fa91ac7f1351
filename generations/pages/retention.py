"""How long one's things are kept: set on the page of notices."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from credits.models import Account
from generations.http.login_required import UserRequest, login_required
from generations.models import Retention

# As the API has it.
DAYS_MAX = 3650


class KeepingForm(forms.Form):
    """After how many days things go; nothing for never."""

    days = forms.IntegerField(
        min_value=1,
        max_value=DAYS_MAX,
        required=False,
        error_messages={"invalid": f"The days are a whole number from 1 to {DAYS_MAX:,}."},
    )
    sure = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or self.cleaned_data
        # What has been here for longer goes within the hour, and nobody brings it back.
        if asked.get("days") and not asked.get("sure"):
            raise forms.ValidationError("Say that you are sure: what is older goes at once, and for good.")
        return asked


@require_POST
@login_required
def keep(request: UserRequest) -> HttpResponse:
    form = KeepingForm(request.POST)
    if form.is_valid():
        messages.info(request, _kept(request, form.cleaned_data["days"]))
    else:
        messages.error(request, " ".join(f"{said}" for field in form.errors.values() for said in field))
    return redirect("notifications")


def _kept(request: UserRequest, days: int | None) -> str:
    account = Account.objects.for_user(request.user)
    if days is None:
        Retention.objects.filter(account=account).delete()
        return "Noted. Things are kept until you erase them."
    Retention.objects.update_or_create(account=account, defaults={"days": days})
    return f"Noted. Things are erased {days:,} day{'' if days == 1 else 's'} after their end."
