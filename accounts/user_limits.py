"""What one user may do: requests a minute, generations at once, credits a day and a month.

The settings `USER_…` hold for every account; staff override them for one account (`UserLimits`). 0 means unlimited.
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
    """Of one customer. 0: without limit."""

    requests_per_minute: int
    running_max: int
    credits_per_day: int
    credits_per_month: int


NAMES = tuple(field.name for field in fields(Limits))


def limits_of(account: Account | None) -> Limits:
    """The settings, but for what staff have written for this account."""
    own = getattr(account, "limits", None)
    return Limits(
        **{name: _first(getattr(own, name, None), getattr(settings, f"USER_{name.upper()}")) for name in NAMES}
    )


def request_rate_of(user: User) -> Rate | None:
    """How often the API may be asked: a minute's worth at once, and then at its pace. None: without limit."""
    per_minute = limits_of(getattr(user, "account", None)).requests_per_minute
    return Rate(per_minute=per_minute, burst=per_minute) if per_minute else None


def _first(own: int | None, everybodys: int) -> int:
    return everybodys if own is None else own
