"""What an order reads in one statement is what the ORM reads in many."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from django.db.models import Sum
from django.utils import timezone

from accounts import api_keys
from accounts.models import UserLimits
from credits.models import Account
from generations import lifecycle
from generations.models import (
    SPENDING,
    CircuitBreaker,
    DailySpending,
    Generation,
    KeySpending,
    OrderIntake,
    PriceBookEntry,
)
from generations.ordering.statements import OrderContext, order_context
from tests.fixtures.limits import key_of
from tests.fixtures.orders import PlaceOrder
from tests.helpers.clocks import just_passed
from tests.helpers.lifecycle_facts import FAILURE

pytestmark = pytest.mark.django_db


def context_of(account: Account, **arguments: object) -> OrderContext:
    options: dict[str, object] = {
        "model": "flux-schnell",
        "idempotency_key": None,
        "arguments_hash": None,
        "alike_since": timezone.now() - timedelta(minutes=5),
    }
    return order_context(account.pk, **(options | arguments))  # type: ignore[arg-type]


def test_without_anything_set_everything_is_allowed(alice: Account) -> None:
    context = context_of(alice)

    assert (context.running_max, context.credits_per_day, context.credits_per_month) == (None, None, None)
    assert (context.running, context.spent_today, context.spent_this_month, context.key_spent) == (0, 0, 0, 0)
    assert (context.percent, context.is_offered, context.is_paused, context.is_breaker_open) == (
        None,
        True,
        False,
        False,
    )
    assert (context.key_models, context.key_credits_max, context.earlier, context.alike) == ([], None, None, None)


def test_limits_prices_switches_and_keys_are_read(alice: Account) -> None:
    UserLimits.objects.create(account=alice, running_max=1, credits_per_day=2, credits_per_month=3)
    OrderIntake.objects.create(paused_at=timezone.now())
    CircuitBreaker.objects.create(opened_at=timezone.now())
    PriceBookEntry.objects.create(model="flux-schnell", percent=150, actor="test", effective_from=just_passed())
    PriceBookEntry.objects.create(
        model="flux-schnell", percent=900, actor="test", effective_from=timezone.now() + timedelta(hours=1)
    )
    key = key_of(alice, credits_max=50, models=frozenset({"flux-dev"}))
    KeySpending.objects.create(api_key=key, credits=7)

    api_keys.set_current(key)
    context = context_of(alice)

    assert (context.running_max, context.credits_per_day, context.credits_per_month) == (1, 2, 3)
    assert (context.is_paused, context.is_breaker_open, context.percent) == (True, True, 150)
    assert (context.key_models, context.key_credits_max, context.key_spent) == (["flux-dev"], 50, 7)


def test_what_runs_waits_and_was_spent_is_what_the_orm_counts(alice: Account, order: PlaceOrder) -> None:
    first, _, earlier = order(), order(), order(key="one")
    lifecycle.failed(first, FAILURE, actor="test")
    DailySpending.objects.create(account=alice, day=timezone.now().astimezone(UTC) - timedelta(days=40), credits=99)

    context = context_of(alice, idempotency_key="one", arguments_hash=first.arguments_hash)

    mine = Generation.objects.filter(account=alice)
    assert context.running == alice.holds.filter(settled_at=None).count() == 2
    assert context.spent_today == context.spent_this_month == mine.aggregate(spent=Sum(SPENDING))["spent"] == 6
    assert context.others_wait is Generation.objects.to_submit().exists() is True
    assert (context.earlier, context.alike) == (earlier.pk, mine.exclude(status="failed").latest("pk").pk)


def test_a_failed_or_old_order_is_not_alike(alice: Account, order: PlaceOrder) -> None:
    failed = order()
    lifecycle.failed(failed, FAILURE, actor="test")

    assert context_of(alice, arguments_hash=failed.arguments_hash).alike is None
    assert context_of(alice, arguments_hash=order().arguments_hash, alike_since=timezone.now()).alike is None
