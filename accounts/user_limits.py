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


_NAMES = tuple(field.name for field in fields(Limits))


def limits_of(account: Account | None) -> Limits:
    """Return the limits of an account: what staff have set for it, and the settings for the rest.

    Args:
        account: The account, with `limits` selected to avoid a query. None: a user who has no account yet.
    """
    return with_settings(getattr(account, "limits", None))


def with_settings(own: object) -> Limits:
    """Return the limits that `own` has as attributes, and the settings for those that are missing or None."""
    return Limits(**{name: _limit(own, name) for name in _NAMES})


def request_rate_of(user: User) -> Rate | None:
    """Return how often a user may call the API: a minute's requests at once, then steadily. None: unlimited."""
    own = getattr(getattr(user, "account", None), "limits", None)
    per_minute = _limit(own, "requests_per_minute")
    return Rate(per_minute=per_minute, burst=per_minute) if per_minute else None


def _limit(own: object, name: str) -> int:
    value: int | None = getattr(own, name, None)
    # 0 is a value of its own (unlimited), so only None falls back to the setting.
    return int(getattr(settings, f"USER_{name.upper()}")) if value is None else value
