"""What a customer may order: how many at once, for how much a day and a month, and with which key.

    Refused
    ├── Paused            nobody orders anything for now
    ├── TooManyRunning    as many as allowed are under way: when one has ended, another may begin
    ├── SpendCapReached   a day's, a month's or a key's credits are spent
    └── ModelNotAllowed   the key does not open this model

The settings say it for everybody, and staff for one customer (`UserLimits`). 0 stands for "without limit".
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

# A picture is made in seconds: whoever has as many as he may soon has one less.
RUNNING_RETRY_AFTER_SECONDS = 5
# A person has paused it, and a person resumes it.
PAUSED_RETRY_AFTER_SECONDS = 60
# What an order takes from its day, month or key: what it holds, and once it has ended, what it cost.
SPENDING = Case(When(phase=Phase.DONE, then=F("captured")), default=F("credits"), output_field=BigIntegerField())


class OrderRefused(DomainError):
    """The order is not accepted. Nothing was created, and nothing was held."""


class Paused(OrderRefused):
    code, status, title = "paused", 503, "Orders paused"
    default_detail = "New orders are paused for the moment; what is in progress continues. Try again in a minute."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": str(PAUSED_RETRY_AFTER_SECONDS)})


class TooManyRunning(OrderRefused):
    code, status, title = "too_many_running", 429, "Too many generations in progress"

    def __init__(self, *, running: int, limit: int) -> None:
        super().__init__(
            f"You have {running} generations in progress, and the limit is {limit}. Wait until one has ended.",
            headers={"Retry-After": str(RUNNING_RETRY_AFTER_SECONDS)},
            running=running,
            limit=limit,
        )


class SpendCapReached(OrderRefused):
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
    code, status, title = "model_not_allowed", 403, "Model not allowed for this API key"

    def __init__(self, model: str) -> None:
        super().__init__(f"This API key may not order {model}. Use another key, or one of the key's models.")


def check(generation: Generation) -> None:
    """Whether this new one may be, beside those that its account has. Raises Refused.

    To be asked in the transaction that orders it, before its hold is opened and with the account's row locked: so of
    many orders at once, each sees those that were let in before. The key that orders is noted on the generation.
    """
    if order_intake.is_paused():
        raise Paused
    account = Account.objects.select_related("limits").get(pk=generation.account_id)
    limits = limits_of(account)
    _check_running(account, limits)
    _check_spending(generation, limits)
    if (key := api_keys.current()) is not None:
        _check_key(generation, key)


def with_credits_spent(keys: ApiKeyQuerySet) -> QuerySet[ApiKey]:
    """Each with its `credits_spent`, held ones among them: one query, however many there are."""
    spending = Generation.objects.filter(api_key=OuterRef("pk")).order_by().values("api_key")
    spent = Subquery(spending.annotate(spent=Sum(SPENDING)).values("spent"))
    return keys.annotate(credits_spent=Coalesce(spent, 0))


def _check_running(account: Account, limits: Limits) -> None:
    # A generation has an open hold for as long as it is under way, and holds have the index for this question.
    running = account.holds.filter(settled_at=None, reference__startswith="generation:").count()
    if limits.running_max and running >= limits.running_max:
        raise TooManyRunning(running=running, limit=limits.running_max)


def _check_spending(generation: Generation, limits: Limits) -> None:
    today = datetime.combine(timezone.now().astimezone(UTC), time.min, UTC)
    this_month = today.replace(day=1)
    next_month = (this_month + timedelta(days=32)).replace(day=1)
    others = Generation.objects.filter(account=generation.account_id).exclude(pk=generation.pk)
    for period, cap, since, until in (
        ("day", limits.credits_per_day, today, today + timedelta(days=1)),
        ("month", limits.credits_per_month, this_month, next_month),
    ):
        if cap:
            _require_within(period, cap, _sum(others.filter(pk__gte=first_id(since))), generation.credits, until)


def _check_key(generation: Generation, key: ApiKey) -> None:
    # Read anew, under the account's lock: it may have been changed since its request began.
    key = ApiKey.objects.get(pk=key.pk)
    if key.model_slugs and generation.model not in key.model_slugs:
        raise ModelNotAllowed(generation.model)
    if key.credits_max is not None:
        _require_within("key", key.credits_max, _sum(Generation.objects.filter(api_key=key)), generation.credits, None)
    Generation.objects.filter(pk=generation.pk).update(api_key=key)
    generation.api_key = key


def _require_within(period: str, cap: int, spent: int, needed: int, until: datetime | None) -> None:
    if spent + needed > cap:
        raise SpendCapReached(period=period, cap=cap, spent=spent, needed=needed, until=until)


def _sum(generations: GenerationQuerySet) -> int:
    return int(generations.aggregate(spent=Coalesce(Sum(SPENDING), 0))["spent"])
