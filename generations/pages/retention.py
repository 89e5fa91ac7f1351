"""The retention form on the page of notifications: after how many days generations and uploads are erased."""

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

# The same limit as in the API.
DAYS_MAX = 3650


class RetentionForm(forms.Form):
    days = forms.IntegerField(
        min_value=1,
        max_value=DAYS_MAX,
        required=False,
        error_messages={"invalid": f"Days must be a whole number from 1 to {DAYS_MAX:,}."},
    )
    """Empty: nothing is erased automatically."""
    sure = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        # Whatever is older is erased within the hour and cannot be restored, so it takes a second confirmation.
        if values.get("days") and not values.get("sure"):
            raise forms.ValidationError("Please confirm that everything older is erased within an hour and for good.")
        return values


@require_POST
@login_required
def save(request: UserRequest) -> HttpResponse:
    form = RetentionForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
        return redirect("notifications")
    account, days = Account.objects.for_user(request.user), form.cleaned_data["days"]
    Retention.objects.set_days(account.pk, days)
    if days is None:
        messages.info(request, "Saved. Everything is kept until you erase it.")
    else:
        after = f"{days:,} day{'' if days == 1 else 's'}"
        message = f"Saved. Generations are erased {after} after they ended, uploads {after} after they were created."
        messages.info(request, message)
    return redirect("notifications")
