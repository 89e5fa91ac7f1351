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

from datetime import UTC, datetime, time, timedelta

from django.db.models import BigIntegerField, Case, F, OuterRef, QuerySet, Subquery, Sum, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey, ApiKeyQuerySet
from accounts.user_limits import Limits, limits_of
from credits.models import Account
from database.ids import first_id
from generations.errors import DomainError
from generations.models import Generation, GenerationQuerySet, Phase
from generations.ordering import order_intake

# An image takes seconds, so one of the customer's generations ends soon.
RUNNING_RETRY_AFTER_SECONDS = 5
# Staff resume orders, which takes them a while.
PAUSED_RETRY_AFTER_SECONDS = 60
# What a generation counts for: the credits that it holds, and once it has ended, those that it cost.
SPENDING = Case(When(phase=Phase.DONE, then=F("captured")), default=F("credits"), output_field=BigIntegerField())


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

    def __init__(self, *, running: int, limit: int) -> None:
        super().__init__(
            f"You have {running} generations in progress, and the limit is {limit}. Wait until one has ended.",
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


def check(generation: Generation) -> None:
    """Check whether the account may order this new generation beside those that it has.

    The lifecycle calls it in the transaction that opens the order, with the account's row locked and before the hold is
    opened. So of several concurrent orders, each counts those that were accepted before. The API key of the current
    request is recorded on the generation.

    Raises:
        OrderRefused: One of its subclasses.
    """
    if order_intake.is_paused():
        raise Paused
    account = Account.objects.select_related("limits").get(pk=generation.account_id)
    limits = limits_of(account)
    # A generation has an open hold for as long as it is in progress, and holds have the index for this query.
    running = account.holds.filter(settled_at=None, reference__startswith="generation:").count()
    if limits.running_max and running >= limits.running_max:
        raise TooManyRunning(running=running, limit=limits.running_max)
    _check_spending(generation, limits)
    if (key := api_keys.current()) is None:
        return
    # Read again under the account's lock: the key may have been changed since the request began.
    key = ApiKey.objects.get(pk=key.pk)
    if key.model_slugs and generation.model not in key.model_slugs:
        raise ModelNotAllowed(generation.model)
    if key.credits_max is not None:
        spent = _sum(Generation.objects.filter(api_key=key))
        _require_within(key.credits_max, spent=spent, needed=generation.credits, period="key", until=None)
    Generation.objects.filter(pk=generation.pk).update(api_key=key)
    generation.api_key = key


def with_credits_spent(keys: ApiKeyQuerySet) -> QuerySet[ApiKey]:
    """Annotate each key with `credits_spent`: what its orders cost or hold. In one query."""
    spending = Generation.objects.filter(api_key=OuterRef("pk")).order_by().values("api_key")
    spent = Subquery(spending.annotate(spent=Sum(SPENDING)).values("spent"))
    return keys.annotate(credits_spent=Coalesce(spent, 0))


def _check_spending(generation: Generation, limits: Limits) -> None:
    """Check the caps of the day and of the month. Both are those of the calendar in UTC."""
    today = datetime.combine(timezone.now().astimezone(UTC), time.min, UTC)
    this_month = today.replace(day=1)
    next_month = (this_month + timedelta(days=32)).replace(day=1)
    others = Generation.objects.filter(account=generation.account_id).exclude(pk=generation.pk)
    for period, cap, since, until in (
        ("day", limits.credits_per_day, today, today + timedelta(days=1)),
        ("month", limits.credits_per_month, this_month, next_month),
    ):
        if cap:
            # Ids begin with the time, so the primary key finds the generations of a period without another index.
            spent = _sum(others.filter(pk__gte=first_id(since)))
            _require_within(cap, spent=spent, needed=generation.credits, period=period, until=until)


def _require_within(cap: int, *, spent: int, needed: int, period: str, until: datetime | None) -> None:
    if spent + needed > cap:
        raise SpendCapReached(period=period, cap=cap, spent=spent, needed=needed, until=until)


def _sum(generations: GenerationQuerySet) -> int:
    return int(generations.aggregate(spent=Coalesce(Sum(SPENDING), 0))["spent"])
