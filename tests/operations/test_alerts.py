"""Alerts: one call when it begins, one when it is over, and none in between."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from credits.models import Account
from database import ids
from generations import lifecycle
from generations.catalogue import MODELS
from generations.fal import Reason
from generations.models import CancelledBy, Generation
from generations.provider import billed_units, circuit_breaker
from operations import alerts, statistics
from operations.alerting import LOOK_SECONDS, Watchman
from operations.models import Alert as ActiveAlert
from tests.fixtures.orders import Ordering
from tests.helpers import lifecycle_facts
from tests.helpers.threads import race

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Looks around once; what the log says of it."""

    def look() -> list[str]:
        caplog.clear()
        alerts.evaluate()
        return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]

    caplog.set_level(logging.WARNING)
    return look


def fails(order: Ordering, count: int, code: str = "provider_error") -> None:
    for _ in range(count):
        attempt = order().submissions.get()
        lifecycle_facts.waiting(attempt)
        lifecycle.answered_error(attempt, Reason(code=code, retryable=True, errors=[], detail=""))  # type: ignore[arg-type]


def succeeds(order: Ordering, count: int) -> None:
    for _ in range(count):
        lifecycle_facts.storing(attempt := order().submissions.get())
        lifecycle_facts.stored(attempt)


def pass_quietly() -> None:
    """As if nothing had been seen for longer than an episode lasts."""
    ActiveAlert.objects.update(last_seen_at=timezone.now() - timedelta(seconds=alerts.QUIET_SECONDS + 1))


# --- Episodes ---


def test_an_episode_alarms_once_and_its_end_is_told_once(told) -> None:
    circuit_breaker.trip("locked")
    begun = [told()[:1], told(), told()]
    circuit_breaker.reset()
    still = told()
    pass_quietly()

    assert begun == [["ERROR alert: fal refuses us"], [], []]
    assert still == []
    assert [told(), told()] == [["WARNING alert over: fal refuses us"], []]


def test_what_comes_and_goes_is_one_episode(told) -> None:
    for _ in range(3):
        circuit_breaker.trip("locked")
        told()
        circuit_breaker.reset()
        told()

    circuit_breaker.trip("locked")
    assert told() == []


def test_a_second_episode_alarms_again(told) -> None:
    circuit_breaker.trip("locked")
    told()
    circuit_breaker.reset()
    pass_quietly()
    told()
    circuit_breaker.trip("locked")

    assert told() == ["ERROR alert: fal refuses us"]


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_of_several_workers_who_see_it_one_calls() -> None:
    circuit_breaker.trip("locked")

    begun = race(*[alerts.evaluate] * 4)
    pass_quietly()
    circuit_breaker.reset()
    over = race(*[alerts.evaluate] * 4)

    assert sorted(map(len, begun)) == sorted(map(len, over)) == [0, 0, 0, 1]


# --- What alarms ---


@pytest.mark.parametrize(
    "bad, good, headings",
    [
        (4, 16, {"many failures"}),
        (3, 17, set()),
        (9, 0, set()),
        (10, 0, {"many failures: flux-schnell"}),
        (10, 10, {"many failures", "many failures: flux-schnell"}),
    ],
)
def test_many_failures_are_told_of_all_and_of_a_model(
    order: Ordering, settings, bad: int, good: int, headings: set[str]
) -> None:
    settings.FAL_QUEUE_URL = "https://queue.fal.run"
    fails(order, bad)
    succeeds(order, good)

    assert {letter.subject for letter in alerts.evaluate()} == headings


def test_what_customers_did_themselves_alarms_nobody(order: Ordering, told, settings) -> None:
    settings.FAL_QUEUE_URL = "https://queue.fal.run"
    fails(order, 10, "invalid_input")
    fails(order, 10, "content_policy")
    generation = order()
    lifecycle.cancel_asked(generation, by=CancelledBy.CUSTOMER, actor="user:alice")

    assert statistics.percent(each.is_bad for each in statistics.ended()) == 0
    assert told() == []


@pytest.mark.parametrize("site, alarms", [("https://limn.example.com", 1), ("http://127.0.0.1:8000", 0)])
def test_callbacks_that_stay_away_are_told_unless_nobody_could_call(
    order: Ordering, settings, site: str, alarms: int
) -> None:
    settings.SITE_URL, settings.FAL_QUEUE_URL = site, "https://queue.fal.run"
    succeeds(order, alerts.VERDICTS_MIN)

    assert [letter.subject for letter in alerts.evaluate()] == ["callbacks stay away"] * alarms


def counted(order: Ordering, *units: str, slug: str = "flux-schnell") -> None:
    """Orders of one megapixel that were made, and what fal's results say that they are billed as."""
    for said in units:
        lifecycle_facts.storing(attempt := order(slug).submissions.get())
        lifecycle_facts.stored(attempt)
        billed_units.record_units(attempt, Decimal(said))


@pytest.mark.parametrize(
    "units, alarms",
    [(["1", "1", "1.4"], 1), (["1", "1", "1.3"], 0), (["2", "2"], 0), (["0.5", "0.5", "0.5"], 0)],
)
def test_a_bill_above_our_price_is_told_with_the_model(order: Ordering, units: list[str], alarms: int) -> None:
    counted(order, *units)

    letters = alerts.evaluate()

    assert [letter.subject for letter in letters] == ["fal bills more than our price: flux-schnell"] * alarms
    assert all("3 orders of flux-schnell, which were reckoned at 9" in letter.text for letter in letters)


def test_what_was_delivered_in_part_says_nothing_of_the_price(order: Ordering) -> None:
    counted(partial(order, prompt="a cat", num_images=2), "4", "4", "4")

    assert {generation.released for generation in Generation.objects.all()} == {3}
    assert alerts.evaluate() == []


@pytest.mark.parametrize("usual, now, alarms", [(0, 60, 1), (0, 59, 0), (15, 60, 1), (18, 60, 0)])
def test_unusual_is_four_times_the_busiest_hour(alice: Account, settings, usual: int, now: int, alarms: int) -> None:
    settings.ALERT_SPENDING_CREDITS = 60
    spent(alice, credits=usual, ago=timedelta(days=2))
    spent(alice, credits=1, ago=timedelta(days=2, hours=1))
    spent(alice, credits=900, ago=timedelta(days=9))
    spent(alice, credits=now, ago=timedelta(minutes=20))

    letters = alerts.evaluate()

    assert [letter.subject for letter in letters] == [f"unusual spending: account {alice.pk}"] * alarms
    assert all(f"alice has spent {now} credits within an hour, and at most {max(usual, 1)}" in x.text for x in letters)


def spent(account: Account, *, credits: int, ago: timedelta) -> None:
    """An order of that price, so long ago."""
    moment = timezone.now() - ago
    generation = Generation.objects.create(
        id=UUID(int=ids.first_id(moment).int | credits),
        account=account,
        model="flux-schnell",
        kind="image",
        credits=credits,
        deadline_at=moment,
    )
    Generation.objects.filter(pk=generation.pk).update(created_at=moment)


def test_a_switch_turns_it_off(order: Ordering, settings) -> None:
    settings.ALERT_SPENDING_CREDITS = 0
    order()

    assert alerts.evaluate() == []


@pytest.mark.once
def test_every_models_alarm_has_a_name_of_its_own_in_the_table() -> None:
    subjects = {slug[:30] for slug in MODELS}

    assert len(subjects) == len(MODELS)


# --- Who is told ---


@pytest.fixture
def watchman() -> tuple[Watchman, list[float]]:
    """And the hands of his clock."""
    clock = [0.0]
    return Watchman(clock=lambda: clock[0]), clock


def test_a_mail_goes_to_who_wants_it_when_it_begins_and_when_it_is_over(watchman, settings) -> None:
    settings.ALERT_EMAIL = ["ops@example.com"]
    man, clock = watchman
    circuit_breaker.trip("locked")
    assert [man.run_once(limit=8), man.run_once(limit=8)] == [1, 0]
    circuit_breaker.reset()
    pass_quietly()
    clock[0] += LOOK_SECONDS

    assert man.run_once(limit=8) == 1
    assert [letter.subject for letter in mail.outbox] == ["[Limn] fal refuses us", "[Limn] over: fal refuses us"]
    assert {*mail.outbox[0].to} == {"ops@example.com"}


def test_without_an_address_nobody_gets_mail(watchman, settings) -> None:
    settings.ALERT_EMAIL = []
    circuit_breaker.trip("locked")

    assert watchman[0].run_once(limit=8) == 0
    assert ActiveAlert.objects.filter(name="breaker").exists()


def test_a_mail_server_that_is_away_gets_it_later(watchman, settings) -> None:
    settings.ALERT_EMAIL = ["ops@example.com"]
    man, clock = watchman
    circuit_breaker.trip("locked")
    here, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert man.run_once(limit=8) == 0

    settings.EMAIL_BACKEND = here
    clock[0] += LOOK_SECONDS

    assert man.run_once(limit=8) == 1


def test_the_admin_shows_what_is_on_to_staff_alone(admin_client: Client, client: Client) -> None:
    ActiveAlert.objects.create(name="failures", subject="flux-dev", last_seen_at=timezone.now())

    assert "Alert: many failures: flux-dev." in admin_client.get("/admin/").content.decode()
    assert "many failures" not in client.get("/admin/login/").content.decode()
