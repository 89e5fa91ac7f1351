"""Quotas of customers: generations in progress, and credits per day, per month and per API key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey, UserLimits
from credits.models import Account
from generations import lifecycle
from generations.catalogue import find
from generations.lifecycle import failure, placing
from generations.models import FailureCode, Generation
from generations.ordering import quotas
from generations.ordering.orders import BatchOrder, Order
from generations.ordering.quotas import ModelNotAllowed, SpendCapReached, TooManyRunning
from simulator import Simulator
from tests.fixtures.limits import GENERATIONS, client_of, key_of, or_refusal, order_body
from tests.fixtures.orders import PlaceOrder
from tests.helpers.clocks import all_clocks_at
from tests.helpers.threads import race
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db
CONCURRENT_ORDERS = 12
PRICE = 3


def end(generation: Generation) -> None:
    """The generation fails, at no cost."""
    lifecycle.failed(generation, failure(FailureCode.CANCELLED), actor="test")


# --- Generations in progress ---


def test_when_a_generation_ends_another_can_be_ordered(settings, order: PlaceOrder) -> None:
    settings.USER_RUNNING_MAX = 2
    first, _ = order(), order()

    with pytest.raises(TooManyRunning, match="You have 2 generations in progress, and the limit is 2"):
        order()

    end(first)
    assert order().credits == PRICE


def test_a_refused_order_creates_nothing(settings, alice: Account, order: PlaceOrder) -> None:
    settings.USER_RUNNING_MAX = 1
    order()

    with pytest.raises(TooManyRunning):
        order()

    alice.refresh_from_db()
    assert (Generation.objects.count(), alice.held) == (1, PRICE)


def test_generations_of_other_accounts_do_not_count(settings, bob: Account, order: PlaceOrder) -> None:
    settings.USER_RUNNING_MAX = 1
    order()

    assert order(account=bob).account == bob


@pytest.mark.parametrize("running_max, accepted", [(2, 2), (0, 4), (None, 1)])
def test_a_limit_of_the_account_overrides_the_setting(
    settings, alice: Account, order: PlaceOrder, running_max: int | None, accepted: int
) -> None:
    """0 means unlimited, and None leaves the setting in force."""
    settings.USER_RUNNING_MAX = 1
    UserLimits.objects.create(account=alice, running_max=running_max)

    results = [or_refusal(order)() for _ in range(4)]

    assert [type(result) for result in results].count(Generation) == accepted


# --- Credits per day and month ---


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_reached_cap_is_reported_with_its_numbers_and_end(settings, order: PlaceOrder, period: str) -> None:
    setattr(settings, f"USER_CREDITS_PER_{period.upper()}", 2 * PRICE + 1)
    order()
    order()

    with pytest.raises(SpendCapReached) as refusal:
        order()

    extra = refusal.value.extra
    assert (extra["period"], extra["cap"], extra["spent"], extra["needed"]) == (period, 7, 6, PRICE)
    until = datetime.fromisoformat(extra["until"])
    assert timezone.now() < until <= timezone.now() + timedelta(days=1 if period == "day" else 31)


def test_a_generation_that_cost_nothing_does_not_count(settings, order: PlaceOrder) -> None:
    settings.USER_CREDITS_PER_DAY = PRICE
    end(order())

    assert order().credits == PRICE


@pytest.mark.parametrize(
    "period, now, end",
    [
        ("day", "2099-01-31T23:59:59", "2099-02-01T00:00:00"),
        ("month", "2099-12-31T23:59:59", "2100-01-01T00:00:00"),
        ("month", "2096-02-01T00:00:00", "2096-03-01T00:00:00"),
    ],
)
def test_periods_are_those_of_the_calendar_in_utc(settings, order: PlaceOrder, period: str, now: str, end: str) -> None:
    setattr(settings, f"USER_CREDITS_PER_{period.upper()}", 1)

    with all_clocks_at(datetime.fromisoformat(now).replace(tzinfo=UTC)):
        refusal = or_refusal(order)()

    assert datetime.fromisoformat(refusal.extra["until"]) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize("period, days", [("day", 1), ("month", 31)])
def test_in_the_next_period_the_whole_cap_can_be_spent(settings, order: PlaceOrder, period: str, days: int) -> None:
    setattr(settings, f"USER_CREDITS_PER_{period.upper()}", PRICE)
    order()

    with all_clocks_at(timezone.now() + timedelta(days=days)):
        assert order().credits == PRICE


# --- API keys ---


def with_key(key: ApiKey, work: Callable[[], object]) -> Callable[[], object]:
    """`work` in a request with this key. A refusal is returned."""

    def attempt() -> object:
        api_keys.set_current(key)
        return or_refusal(work)()

    return attempt


def test_a_key_spends_at_most_its_cap(alice: Account, order: PlaceOrder) -> None:
    key = key_of(alice, credits_max=2 * PRICE)
    api_keys.set_current(key)

    first, second, refusal = order(), order(), or_refusal(order)()
    end(first)
    third = order()

    assert [generation.api_key for generation in (second, third)] == [key, key]
    assert tuple(refusal.extra[name] for name in ("period", "cap", "spent", "until")) == ("key", 6, 6, None)


def test_credits_spent_with_another_key_do_not_count(alice: Account, order: PlaceOrder) -> None:
    with_key(key_of(alice), order)()
    capped = key_of(alice, credits_max=PRICE)

    assert isinstance(with_key(capped, order)(), Generation)


def test_a_key_orders_only_the_models_that_it_permits(alice: Account, order: PlaceOrder) -> None:
    api_keys.set_current(key_of(alice, models=frozenset({"flux-schnell"})))

    assert order("flux-schnell").model == "flux-schnell"
    with pytest.raises(ModelNotAllowed, match="may not order flux-dev"):
        order("flux-dev")


def test_a_change_of_the_key_during_the_request_counts(alice: Account, order: PlaceOrder) -> None:
    key = key_of(alice)
    api_keys.set_current(key)
    api_keys.change(ApiKey.objects.get(pk=key.pk), credits_max=0)

    assert isinstance(or_refusal(order)(), SpendCapReached)


# --- Batches and concurrent orders ---


def test_each_generation_of_a_batch_counts(settings, alice: Account) -> None:
    settings.USER_RUNNING_MAX = 3
    model = find("flux-schnell")
    orders = [
        Order(model=model, inputs=model.read(inputs), raw_input=inputs)
        for inputs in ({"prompt": f"cat {number}"} for number in range(4))
    ]

    with pytest.raises(TooManyRunning):
        lifecycle.order_batch(alice, BatchOrder(orders=orders), actor="user:alice")

    assert Generation.objects.count() == 0
    lifecycle.order_batch(alice, BatchOrder(orders=orders[:3]), actor="user:alice")
    assert Generation.objects.count() == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_postgresql
@pytest.mark.parametrize("limit", ["running_max", "credits_per_day", "key"])
def test_concurrent_orders_do_not_exceed_a_limit(alice: Account, order: PlaceOrder, limit: str) -> None:
    key = key_of(alice, credits_max=5 * PRICE if limit == "key" else None)
    UserLimits.objects.create(account=alice, **({} if limit == "key" else {limit: 5 if limit == "running_max" else 15}))

    results = race(*([with_key(key, order)] * CONCURRENT_ORDERS))

    assert [type(result) for result in results].count(Generation) == 5
    assert {type(result) for result in results} == {Generation, TooManyRunning if "max" in limit else SpendCapReached}


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_postgresql
def test_without_the_lock_concurrent_orders_exceed_a_limit(settings, monkeypatch, order: PlaceOrder) -> None:
    """Negative control."""
    settings.USER_RUNNING_MAX = 1
    both_have_counted = threading.Barrier(2)
    monkeypatch.setattr(placing, "lock_account", lambda account: account)
    check = quotas.check

    def check_and_wait(*arguments: Any, **options: Any) -> None:
        check(*arguments, **options)
        both_have_counted.wait(HANG_SECONDS)

    monkeypatch.setattr(quotas, "check", check_and_wait)

    results = race(*([or_refusal(order)] * 2))

    assert [type(result) for result in results] == [Generation, Generation]


# --- The API ---


def test_too_many_generations_are_answered_with_429_and_retry_after(settings, fal: Simulator, alice: Account) -> None:
    settings.USER_RUNNING_MAX = 1
    fal.always("hold", "callback:lost")
    api = client_of(alice)

    _, refused = (api.post(GENERATIONS, order_body(n)) for n in range(2))

    body = refused.json()
    assert (refused.status_code, body["code"], refused["Retry-After"]) == (429, "too_many_running", "5")
    assert (body["running"], body["limit"]) == (1, 1)


def test_a_reached_cap_is_answered_with_402_and_its_numbers(settings, alice: Account) -> None:
    settings.USER_CREDITS_PER_DAY = 2

    refused = client_of(alice).post(GENERATIONS, order_body())

    body = refused.json()
    assert (refused.status_code, body["code"], body["period"]) == (402, "spend_cap_reached", "day")
    assert (body["needed"], body["spent"], body["cap"]) == (PRICE, 0, 2)
    assert datetime.fromisoformat(body["until"]) > timezone.now()


def test_a_model_that_the_key_does_not_permit_is_answered_with_403(alice: Account) -> None:
    refused = client_of(alice, models=frozenset({"flux-dev"})).post(GENERATIONS, order_body())

    assert (refused.status_code, refused.json()["code"]) == (403, "model_not_allowed")
    assert Generation.objects.count() == 0


def test_the_key_of_a_request_is_recorded_and_not_kept_for_the_next_request(fal: Simulator, alice: Account) -> None:
    fal.always("hold", "callback:lost")
    program, browser = client_of(alice), client_of(alice)
    browser.credentials()
    browser.force_login(alice.user)

    for client in (program, browser):
        assert client.post(GENERATIONS, order_body(id(client))).status_code == 202

    keys = Generation.objects.order_by("created_at").values_list("api_key", flat=True)
    assert list(keys) == [ApiKey.objects.earliest("pk").pk, None]


def test_a_repeated_request_is_answered_after_the_cap_is_reached(settings, fal: Simulator, alice: Account) -> None:
    fal.always("hold", "callback:lost")
    settings.USER_CREDITS_PER_DAY = PRICE
    post = partial(client_of(alice).post, GENERATIONS, order_body(), headers={"Idempotency-Key": "k"})

    assert [post().status_code for _ in range(2)] == [202, 200]
