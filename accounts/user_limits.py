"""The limits of one user: requests per minute, concurrent generations, and credits per day and month.

The settings `USER_…` apply to every account; staff override them for one account in the table `UserLimits`. 0 means
unlimited. `generations.http.throttling` and `generations.ordering.quotas` enforce the limits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from django.conf import settings

from accounts.token_bucket import Rate
from credits.models import Account

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits that apply to one account. 0: unlimited."""

    requests_per_minute: int
    running_max: int
    credits_per_day: int
    credits_per_month: int


def limits_of(account: Account | None) -> Limits:
    """Return the limits of an account: what staff have set for it, and the settings for the rest.

    Args:
        account: The account, with `limits` selected to avoid a query. None: a user who has no account yet.
    """
    own = getattr(account, "limits", None)
    values = {}
    for field in fields(Limits):
        value = getattr(own, field.name, None)
        # 0 is a value of its own (unlimited), so only None falls back to the setting.
        values[field.name] = getattr(settings, f"USER_{field.name.upper()}") if value is None else value
    return Limits(**values)


def request_rate_of(user: User) -> Rate | None:
    """Return how often a user may call the API: a minute's requests at once, then steadily. None: unlimited."""
    per_minute = limits_of(getattr(user, "account", None)).requests_per_minute
    return Rate(per_minute=per_minute, burst=per_minute) if per_minute else None
