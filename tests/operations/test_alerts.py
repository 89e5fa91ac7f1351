"""Alerts: which conditions raise one, and that each episode is reported once when it begins and once when it ends."""

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
from generations.models import CancelledBy, FailureCode, Generation, StorageReport
from generations.provider import billed_units, circuit_breaker
from operations import alert_rules, alerts, statistics
from operations.alerting import EVALUATION_SECONDS, AlertingWorker
from operations.models import AlertEpisode
from tests.fixtures.orders import PlaceOrder
from tests.helpers import lifecycle_facts
from tests.helpers.threads import race

pytestmark = pytest.mark.django_db
BREAKER = "fal rejects the key or the account"


@pytest.fixture
def log_of_evaluation(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Evaluates the alerts once, and returns what is logged."""

    def evaluate() -> list[str]:
        caplog.clear()
        alerts.evaluate()
        return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]

    caplog.set_level(logging.WARNING)
    return evaluate


def subjects() -> list[str]:
    return [email.subject for email in alerts.evaluate()]


def fail(order: PlaceOrder, count: int, code: str = "provider_error") -> None:
    for _ in range(count):
        submission = order().submissions.get()
        lifecycle_facts.reach_waiting(submission)
        reason = Reason(code=code, retryable=True, errors=[], detail="")  # type: ignore[arg-type]
        lifecycle.answered_error(submission, reason)


def complete(order: PlaceOrder, count: int) -> None:
    for _ in range(count):
        submission = order().submissions.get()
        lifecycle_facts.reach_storing(submission)
        lifecycle_facts.stored(submission)


def let_episodes_end() -> None:
    """Sets the time at which the alerts were last seen to before the quiet period."""
    AlertEpisode.objects.update(last_seen_at=timezone.now() - timedelta(seconds=alerts.QUIET_SECONDS + 1))


# --- Episodes -------------------------------------------------------------------------------------------------------


def test_an_episode_is_reported_once_when_it_begins_and_once_when_it_ends(log_of_evaluation) -> None:
    circuit_breaker.trip("locked")
    active = [log_of_evaluation()[:1], log_of_evaluation(), log_of_evaluation()]
    circuit_breaker.reset()
    not_quiet_yet = log_of_evaluation()
    let_episodes_end()
    ended = [log_of_evaluation(), log_of_evaluation()]

    assert active == [[f"ERROR alert: {BREAKER}"], [], []]
    assert not_quiet_yet == []
    assert ended == [[f"WARNING alert over: {BREAKER}"], []]


def test_a_condition_that_comes_and_goes_is_one_episode(log_of_evaluation) -> None:
    for _ in range(3):
        circuit_breaker.trip("locked")
        log_of_evaluation()
        circuit_breaker.reset()
        log_of_evaluation()

    circuit_breaker.trip("locked")
    assert log_of_evaluation() == []


def test_a_second_episode_is_reported_again(log_of_evaluation) -> None:
    circuit_breaker.trip("locked")
    log_of_evaluation()
    circuit_breaker.reset()
    let_episodes_end()
    log_of_evaluation()
    circuit_breaker.trip("locked")

    assert log_of_evaluation() == [f"ERROR alert: {BREAKER}"]


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_of_several_workers_one_reports_the_beginning_and_one_the_end() -> None:
    circuit_breaker.trip("locked")

    begun = race(*[alerts.evaluate] * 4)
    let_episodes_end()
    circuit_breaker.reset()
    ended = race(*[alerts.evaluate] * 4)

    assert sorted(map(len, begun)) == sorted(map(len, ended)) == [0, 0, 0, 1]


# --- Rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failed, completed, alert_subjects",
    [
        (4, 16, {"many failures"}),
        (3, 17, set()),
        (9, 0, set()),
        (10, 0, {"many failures: flux-schnell"}),
        (10, 10, {"many failures", "many failures: flux-schnell"}),
    ],
)
def test_failures_raise_an_alert_in_total_and_for_a_model(
    order: PlaceOrder, settings, failed: int, completed: int, alert_subjects: set[str]
) -> None:
    settings.FAL_QUEUE_URL = "https://queue.fal.run"
    fail(order, failed)
    complete(order, completed)

    assert set(subjects()) == alert_subjects


def test_failures_that_customers_caused_raise_no_alert(order: PlaceOrder, log_of_evaluation, settings) -> None:
    settings.FAL_QUEUE_URL = "https://queue.fal.run"
    fail(order, 10, "invalid_input")
    fail(order, 10, "content_policy")
    lifecycle.cancel_asked(order(), by=CancelledBy.CUSTOMER, actor="user:alice")

    assert statistics.percent(each.is_failure for each in statistics.ended_generations()) == 0
    assert log_of_evaluation() == []


def test_e4_an_error_of_limn_that_ends_a_generation_raises_an_alert(order: PlaceOrder) -> None:
    """Its customer reads that the operator has been notified."""
    lifecycle.failed(order(), lifecycle.failure(FailureCode.INTERNAL_ERROR), actor="limn")

    assert [alert.title for alert in alert_rules.active()] == ["errors of Limn ended generations"]


def test_missing_callbacks_raise_an_alert_unless_fal_cannot_reach_limn(order: PlaceOrder, settings) -> None:
    settings.FAL_QUEUE_URL = "https://queue.fal.run"
    complete(order, alert_rules.VERDICTS_MIN)

    settings.SITE_URL = "http://127.0.0.1:8000"
    assert subjects() == []
    settings.SITE_URL = "https://limn.example.com"
    assert subjects() == ["callbacks do not arrive"]


def complete_with_units(order: PlaceOrder, *units: str) -> None:
    """Completes an order for each number of units that fal counts."""
    for counted in units:
        submission = order().submissions.get()
        lifecycle_facts.reach_storing(submission)
        lifecycle_facts.stored(submission)
        billed_units.record_units(submission, Decimal(counted))


@pytest.mark.parametrize(
    "units, is_raised",
    [
        (["1", "1", "1.4"], True),
        (["1", "1", "1.3"], False),
        (["2", "2"], False),
        (["0.5", "0.5", "0.5"], False),
    ],
)
def test_a_bill_above_the_list_price_raises_an_alert_for_the_model(
    order: PlaceOrder, units: list[str], is_raised: bool
) -> None:
    complete_with_units(order, *units)

    emails = alerts.evaluate()

    assert [email.subject for email in emails] == ["fal bills more than the list price: flux-schnell"] * is_raised
    for email in emails:
        assert "For 3 generations of flux-schnell" in email.text
        assert "10 credits at list price; the catalogue expected 9." in email.text


def test_generations_that_were_delivered_in_part_are_no_evidence_of_the_price(order: PlaceOrder) -> None:
    complete_with_units(partial(order, prompt="a cat", num_images=2), "4", "4", "4")

    assert {generation.released for generation in Generation.objects.all()} == {3}
    assert alerts.evaluate() == []


@pytest.mark.parametrize("usual, now, is_raised", [(0, 60, True), (0, 59, False), (15, 60, True), (18, 60, False)])
def test_four_times_the_busiest_hour_of_the_week_raises_an_alert(
    alice: Account, settings, usual: int, now: int, is_raised: bool
) -> None:
    settings.ALERT_SPENDING_CREDITS = 60
    spend(alice, credits=usual, ago=timedelta(days=2))
    spend(alice, credits=1, ago=timedelta(days=2, hours=1))
    spend(alice, credits=900, ago=timedelta(days=9))
    spend(alice, credits=now, ago=timedelta(minutes=20))

    emails = alerts.evaluate()

    assert [email.subject for email in emails] == [f"unusual spending: account {alice.pk}"] * is_raised
    figures = f"alice spent {now} credits within an hour; in the week before, at most {max(usual, 1)} an hour."
    assert [email.text for email in emails] == [figures] * is_raised


def spend(account: Account, *, credits: int, ago: timedelta) -> None:
    """Creates a generation of this price that was ordered some time ago."""
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


def test_a_minimum_of_zero_switches_the_spending_alert_off(order: PlaceOrder, settings) -> None:
    settings.ALERT_SPENDING_CREDITS = 0
    order()

    assert alerts.evaluate() == []


@pytest.mark.parametrize("unknown, missing, is_raised", [(1, 0, True), (0, 1, True), (0, 0, False)])
def test_unknown_and_missing_files_raise_an_alert(unknown: int, missing: int, is_raised: bool) -> None:
    StorageReport.objects.create(unknown_files=unknown, unknown_bytes=0, missing_files=missing, ended_at=timezone.now())

    assert (subjects() == ["the storage and the database differ"]) is is_raised


@pytest.mark.once
def test_the_subjects_of_two_models_are_never_the_same() -> None:
    """The table cuts the slug of a model."""
    assert len({slug[:30] for slug in MODELS}) == len(MODELS)


# --- E-mails and the admin ------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> list[float]:
    """The time of the worker's clock, in seconds."""
    return [0.0]


@pytest.fixture
def worker(clock: list[float]) -> AlertingWorker:
    return AlertingWorker(clock=lambda: clock[0])


def test_an_email_is_sent_at_the_beginning_and_at_the_end(worker: AlertingWorker, clock: list[float], settings) -> None:
    settings.ALERT_EMAIL = ["ops@example.com"]
    circuit_breaker.trip("locked")
    assert [worker.run_once(limit=8), worker.run_once(limit=8)] == [1, 0]
    circuit_breaker.reset()
    let_episodes_end()
    clock[0] += EVALUATION_SECONDS

    assert worker.run_once(limit=8) == 1
    assert [email.subject for email in mail.outbox] == [f"[Limn] {BREAKER}", f"[Limn] over: {BREAKER}"]
    assert {*mail.outbox[0].to} == {"ops@example.com"}


def test_without_an_address_no_email_is_sent(worker: AlertingWorker, settings) -> None:
    settings.ALERT_EMAIL = []
    circuit_breaker.trip("locked")

    assert worker.run_once(limit=8) == 0
    assert AlertEpisode.objects.filter(name="breaker").exists()


def test_an_email_that_the_mail_server_does_not_take_is_sent_later(
    worker: AlertingWorker, clock: list[float], settings
) -> None:
    settings.ALERT_EMAIL = ["ops@example.com"]
    circuit_breaker.trip("locked")
    working, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert worker.run_once(limit=8) == 0

    settings.EMAIL_BACKEND = working
    clock[0] += EVALUATION_SECONDS

    assert worker.run_once(limit=8) == 1


def test_the_admin_shows_active_alerts_to_staff_only(admin_client: Client, client: Client) -> None:
    AlertEpisode.objects.create(name="failures", subject="flux-dev", last_seen_at=timezone.now())

    assert "Alert: many failures: flux-dev." in admin_client.get("/admin/").content.decode()
    assert "many failures" not in client.get("/admin/login/").content.decode()
