"""Towards customers: how many at once, and for how much a day, a month and a key; also when many come at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import time_machine
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
from tests.fixtures.limits import GENERATIONS, client_of, key_of, refused, wish
from tests.fixtures.orders import Ordering
from tests.helpers.threads import race
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db
MANY = 12
PRICE = 3


def end(generation: Generation) -> None:
    lifecycle.failed(generation, failure(FailureCode.CANCELLED), actor="test")


# --- How many at once ---


def test_one_too_many_has_to_wait_until_another_has_ended(settings, alice: Account, order: Ordering) -> None:
    settings.USER_RUNNING_MAX = 2
    first, _ = order(), order()

    with pytest.raises(TooManyRunning, match="You have 2 generations in progress, and the limit is 2"):
        order()

    end(first)
    assert order().credits == PRICE


def test_what_is_refused_leaves_nothing_behind(settings, alice: Account, order: Ordering) -> None:
    settings.USER_RUNNING_MAX = 1
    order()

    with pytest.raises(TooManyRunning):
        order()

    alice.refresh_from_db()
    assert (Generation.objects.count(), alice.held) == (1, PRICE)


def test_others_are_not_counted(settings, bob: Account, order: Ordering) -> None:
    settings.USER_RUNNING_MAX = 1
    order()

    assert order(account=bob).account == bob


@pytest.mark.parametrize("own, more", [(2, 1), (0, 3), (None, 0)])
def test_staff_may_allow_one_customer_more(settings, alice: Account, order: Ordering, own: int, more: int) -> None:
    settings.USER_RUNNING_MAX = 1
    UserLimits.objects.create(account=alice, running_max=own)

    placed = [refused(order)() for _ in range(4)]

    assert len([generation for generation in placed if isinstance(generation, Generation)]) == 1 + more


# --- For how much ---


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_cap_is_told_with_its_numbers_and_its_end(settings, order: Ordering, period: str) -> None:
    setattr(settings, f"USER_CREDITS_PER_{period.upper()}", 2 * PRICE + 1)
    order()
    order()

    with pytest.raises(SpendCapReached) as refusal:
        order()

    extra = refusal.value.extra
    assert (extra["period"], extra["cap"], extra["spent"], extra["needed"]) == (period, 7, 6, PRICE)
    until = datetime.fromisoformat(extra["until"])
    assert timezone.now() < until <= timezone.now() + timedelta(days=1 if period == "day" else 31)


def test_what_cost_nothing_is_not_spent(settings, order: Ordering) -> None:
    settings.USER_CREDITS_PER_DAY = PRICE
    end(order())

    assert order().credits == PRICE


@pytest.mark.parametrize(
    "period, now, over",
    [
        ("day", "2099-01-31T23:59:59", "2099-02-01T00:00:00"),
        ("month", "2099-12-31T23:59:59", "2100-01-01T00:00:00"),
        ("month", "2096-02-01T00:00:00", "2096-03-01T00:00:00"),
    ],
)
def test_a_period_ends_with_the_calendars_in_utc(settings, order: Ordering, period: str, now: str, over: str) -> None:
    setattr(settings, f"USER_CREDITS_PER_{period.upper()}", 1)

    with time_machine.travel(datetime.fromisoformat(now).replace(tzinfo=UTC), tick=False):
        refusal = refused(order)()

    assert datetime.fromisoformat(refusal.extra["until"]) == datetime.fromisoformat(over).replace(tzinfo=UTC)


@pytest.mark.parametrize("period, days", [("day", 1), ("month", 31)])
def test_with_the_next_period_everything_may_be_spent_anew(settings, order: Ordering, period: str, days: int) -> None:
    setattr(settings, f"USER_CREDITS_PER_{period.upper()}", PRICE)
    order()

    with time_machine.travel(timezone.now() + timedelta(days=days)):
        assert order().credits == PRICE


# --- With which key ---


def use(key: ApiKey, work: Callable[[], object]) -> Callable[[], object]:
    """As in a request that came with this key."""

    def attempt() -> object:
        api_keys.set_current(key)
        return refused(work)()

    return attempt


def test_a_key_spends_no_more_than_its_cap(alice: Account, order: Ordering) -> None:
    key = key_of(alice, credits_max=2 * PRICE)
    api_keys.set_current(key)

    ended, second, third = order(), order(), refused(order)()
    end(ended)
    fourth = order()

    assert [generation.api_key for generation in (second, fourth)] == [key, key]
    assert tuple(third.extra[name] for name in ("period", "cap", "spent", "until")) == ("key", 6, 6, None)


def test_what_another_key_spends_is_not_its_own(alice: Account, order: Ordering) -> None:
    use(key_of(alice), order)()
    capped = key_of(alice, credits_max=PRICE)

    assert isinstance(use(capped, order)(), Generation)


def test_a_key_orders_the_models_on_its_list_only(alice: Account, order: Ordering) -> None:
    api_keys.set_current(key_of(alice, models=frozenset({"flux-schnell"})))

    assert order("flux-schnell").model == "flux-schnell"
    with pytest.raises(ModelNotAllowed, match="may not order flux-dev"):
        order("flux-dev")


def test_a_key_that_is_changed_meanwhile_is_asked_as_it_is_now(alice: Account, order: Ordering) -> None:
    key = key_of(alice)
    api_keys.set_current(key)
    api_keys.change(ApiKey.objects.get(pk=key.pk), credits_max=0)

    assert isinstance(refused(order)(), SpendCapReached)


# --- Several together ---


def test_each_generation_of_a_batch_counts(settings, alice: Account, order: Ordering) -> None:
    settings.USER_RUNNING_MAX = 3
    model = find("flux-schnell")
    wishes = [
        Order(model=model, inputs=model.read(asked), raw_input=asked)
        for asked in ({"prompt": f"cat {n}"} for n in range(4))
    ]

    with pytest.raises(TooManyRunning):
        lifecycle.order_batch(alice, BatchOrder(orders=wishes), actor="user:alice")

    assert Generation.objects.count() == 0
    lifecycle.order_batch(alice, BatchOrder(orders=wishes[:3]), actor="user:alice")
    assert Generation.objects.count() == 3


# --- Many at once: the account's row is locked ---


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_postgresql
@pytest.mark.parametrize("limit", ["running_max", "credits_per_day", "key"])
def test_of_many_orders_at_once_no_more_pass_than_may(alice: Account, order: Ordering, limit: str) -> None:
    key = key_of(alice, credits_max=5 * PRICE if limit == "key" else None)
    UserLimits.objects.create(account=alice, **({} if limit == "key" else {limit: 5 if limit == "running_max" else 15}))

    results = race(*([use(key, order)] * MANY))

    assert [type(result) for result in results].count(Generation) == 5
    assert {type(result) for result in results} == {Generation, TooManyRunning if "max" in limit else SpendCapReached}


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_postgresql
def test_without_the_lock_two_pass_where_one_may(settings, monkeypatch, alice: Account, order: Ordering) -> None:
    """Negative control: this race is there to be lost."""
    settings.USER_RUNNING_MAX = 1
    meeting = threading.Barrier(2)
    monkeypatch.setattr(placing, "lock_account", lambda account: account)
    monkeypatch.setattr(quotas, "_check_spending", lambda *_: meeting.wait(HANG_SECONDS))

    results = race(*([refused(order)] * 2))

    assert [type(result) for result in results] == [Generation, Generation]


# --- Through the API ---


def test_too_many_running_is_429_and_says_when_to_come_again(settings, fal: Simulator, alice: Account) -> None:
    settings.USER_RUNNING_MAX = 1
    fal.always("hold", "callback:lost")
    api = client_of(alice)

    _, no = (api.post(GENERATIONS, wish(n)) for n in range(2))

    body = no.json()
    assert (no.status_code, body["code"], no["Retry-After"]) == (429, "too_many_running", "5")
    assert (body["running"], body["limit"]) == (1, 1)


def test_a_cap_is_402_with_its_numbers(settings, alice: Account) -> None:
    settings.USER_CREDITS_PER_DAY = 2

    no = client_of(alice).post(GENERATIONS, wish())

    body = no.json()
    assert (no.status_code, body["code"], body["period"]) == (402, "spend_cap_reached", "day")
    assert (body["needed"], body["spent"], body["cap"]) == (PRICE, 0, 2)
    assert datetime.fromisoformat(body["until"]) > timezone.now()


def test_a_model_that_the_key_does_not_open_is_403(alice: Account) -> None:
    no = client_of(alice, models=frozenset({"flux-dev"})).post(GENERATIONS, wish())

    assert (no.status_code, no.json()["code"]) == (403, "model_not_allowed")
    assert Generation.objects.count() == 0


def test_an_order_is_noted_on_its_key_and_the_next_request_has_another(fal: Simulator, alice: Account) -> None:
    fal.always("hold", "callback:lost")
    with_key, browser = client_of(alice), client_of(alice)
    browser.credentials()
    browser.force_login(alice.user)

    for client in (with_key, browser):
        assert client.post(GENERATIONS, wish(id(client))).status_code == 202

    keys = Generation.objects.order_by("created_at").values_list("api_key", flat=True)
    assert list(keys) == [ApiKey.objects.earliest("pk").pk, None]


def test_a_repetition_is_answered_though_the_cap_is_reached(settings, fal: Simulator, alice: Account) -> None:
    fal.always("hold", "callback:lost")
    settings.USER_CREDITS_PER_DAY = PRICE
    post = partial(client_of(alice).post, GENERATIONS, wish(), headers={"Idempotency-Key": "k"})

    assert [post().status_code for _ in range(2)] == [202, 200]
