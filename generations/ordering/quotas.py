"""Checks whether a customer may order: how much at a time, per day, per month and with the API key in use.

    OrderRefused
    ├── Paused            staff have paused all orders
    ├── TooManyRunning    the account has as many generations in progress as allowed
    ├── SpendCapReached   the credits of the day, of the month or of the key are spent
    └── ModelNotAllowed   the API key does not permit this model

The settings `USER_…` are the limits of every account, and staff may set others for one account (`UserLimits`). 0 means
unlimited.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from django.db.models import QuerySet
from django.db.models.functions import Coalesce

from accounts.models import ApiKey, ApiKeyQuerySet
from accounts.user_limits import with_settings
from generations.errors import DomainError
from generations.ordering.statements import OrderContext

# An image takes seconds, so one of the customer's generations ends soon.
RUNNING_RETRY_AFTER_SECONDS = 5
# Staff resume orders, which takes them a while.
PAUSED_RETRY_AFTER_SECONDS = 60


class OrderRefused(DomainError):
    """The order is not accepted. Nothing was created, and nothing was held."""


class Paused(OrderRefused):
    """Staff have paused all orders."""

    code, status, title = "paused", 503, "Orders paused"
    default_detail = "New orders are paused for the moment; what is in progress continues. Try again in a minute."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": str(PAUSED_RETRY_AFTER_SECONDS)})


class TooManyRunning(OrderRefused):
    """The account has as many generations in progress as allowed."""

    code, status, title = "too_many_running", 429, "Too many generations in progress"

    def __init__(self, *, running: int, ordered: int = 1, limit: int) -> None:
        more = f" This orders {ordered} more." if ordered > 1 else ""
        super().__init__(
            f"You have {running} generations in progress, and the limit is {limit}.{more} Wait until one has ended.",
            headers={"Retry-After": str(RUNNING_RETRY_AFTER_SECONDS)},
            running=running,
            limit=limit,
        )


class SpendCapReached(OrderRefused):
    """The credits of a period, or of the API key (`period` is "key"), do not suffice for this order."""

    code, status, title = "spend_cap_reached", 402, "Spending cap reached"

    def __init__(self, *, period: str, cap: int, spent: int, needed: int, until: datetime | None) -> None:
        scope = "with this key" if period == "key" else f"this {period}"
        end = f" This period ends at {until:%Y-%m-%d %H:%M} UTC." if until else ""
        super().__init__(
            f"This costs {needed} credits, and {spent} of at most {cap} are spent {scope}.{end}",
            period=period,
            until=until.isoformat() if until else None,
            needed=needed,
            spent=spent,
            cap=cap,
        )


class ModelNotAllowed(OrderRefused):
    """The API key in use does not permit this model."""

    code, status, title = "model_not_allowed", 403, "Model not allowed for this API key"

    def __init__(self, model: str) -> None:
        super().__init__(f"This API key may not order {model}. Use another key, or one of the key's models.")


def check(known: OrderContext, *, credits: Sequence[int], model: str) -> None:
    """Refuse new generations that the account, or the API key of the request, may not order.

    The lifecycle calls it in the transaction that opens the order, with the account's row locked. So of several
    concurrent orders, each counts those that were accepted before.

    Args:
        known: What the database knows about the order.
        credits: The price of each generation.
        model: The slug of their model.

    Raises:
        OrderRefused: One of its subclasses.
    """
    if known.is_paused:
        raise Paused
    limits = with_settings(known)
    if limits.running_max and known.running + len(credits) > limits.running_max:
        raise TooManyRunning(running=known.running, ordered=len(credits), limit=limits.running_max)
    today = datetime.combine(known.now.astimezone(UTC), time.min, UTC)
    next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    needed = sum(credits)
    # Both periods are those of the calendar in UTC.
    for period, cap, spent, until in (
        ("day", limits.credits_per_day, known.spent_today, today + timedelta(days=1)),
        ("month", limits.credits_per_month, known.spent_this_month, next_month),
    ):
        if cap and spent + needed > cap:
            raise SpendCapReached(period=period, cap=cap, spent=spent, needed=needed, until=until)
    if known.key_models and model not in known.key_models:
        raise ModelNotAllowed(model)
    key_cap = known.key_credits_max
    if key_cap is not None and known.key_spent + needed > key_cap:
        raise SpendCapReached(period="key", cap=key_cap, spent=known.key_spent, needed=needed, until=None)


def with_credits_spent(keys: ApiKeyQuerySet) -> QuerySet[ApiKey]:
    """Annotate each key with `credits_spent`: what its orders cost or hold. In one query."""
    return keys.annotate(credits_spent=Coalesce("spending__credits", 0))
