"""Alerts about single generations: what has happened since the last evaluation, and what is still stuck."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from generations import lifecycle
from generations.lifecycle.transitions import Fact, record_event
from generations.models import INCIDENTS, Event, FailureCode, Generation, Heartbeat, Output, ProviderCallback
from generations.workers import heartbeats
from operations import alert_rules, alerts, counters
from tests.fixtures.orders import PlaceOrder
from tests.helpers import lifecycle_facts

pytestmark = pytest.mark.django_db
HAPPENED = tuple(fact for fact in INCIDENTS if fact != "stuck")


def record(fact: str, generation: Generation) -> None:
    record_event(generation, Fact(name=fact, actor="fal", staff_note="why"))


def let_pass(minutes: float) -> None:
    """Moves what has happened into the past, the last evaluation excepted."""
    Event.objects.update(created_at=Now() - timedelta(minutes=minutes))
    ProviderCallback.objects.update(received_at=Now() - timedelta(minutes=minutes))


def let_evaluation_pause(minutes: float) -> None:
    """Makes the last evaluation so many minutes old."""
    heartbeats.beat(alert_rules.EVALUATION)
    Heartbeat.objects.filter(name=alert_rules.EVALUATION).update(seen_at=Now() - timedelta(minutes=minutes))


def raised() -> list[str]:
    return [alert.name for alert in alert_rules.incidents()]


@pytest.mark.parametrize("fact", HAPPENED)
def test_an_incident_of_the_last_hour_raises_an_alert_and_an_older_one_none(fact: str, order: PlaceOrder) -> None:
    generation = order()
    record(fact, generation)

    (alert,) = alert_rules.incidents()
    let_pass(minutes=61)

    assert (alert.name, str(generation.pk) in alert.text) == (fact, True)
    assert raised() == []


@pytest.mark.parametrize("fact", HAPPENED)
def test_an_incident_before_a_long_outage_is_reported_afterwards(fact: str, order: PlaceOrder) -> None:
    record(fact, order())
    let_pass(minutes=180)
    let_evaluation_pause(minutes=179)

    assert [email.subject for email in alerts.evaluate()] == [alert_rules.TITLES[fact]]
    # Now that it is reported, an evaluation looks back one hour again.
    assert raised() == []


@pytest.mark.parametrize("fact", INCIDENTS)
def test_the_metrics_count_incidents_by_kind(fact: str, order: PlaceOrder) -> None:
    record(fact, order())

    assert counters.add_up_events(Event.objects.all())["incidents", fact] == 1


def test_an_orphan_callback_before_a_long_outage_is_reported_afterwards() -> None:
    ProviderCallback.objects.create(request_id="x", body_sha256="0", outcome=ProviderCallback.Outcome.ORPHAN)
    let_pass(minutes=180)
    assert raised() == []

    let_evaluation_pause(minutes=179)

    assert raised() == ["orphans"]


def test_after_an_outage_of_days_incidents_of_the_last_day_are_reported(order: PlaceOrder) -> None:
    """More would be too many rows for one query, and nothing that an alert could still prevent."""
    record("disputed", order())
    let_evaluation_pause(minutes=10_000)

    let_pass(minutes=23 * 60)
    assert raised() == ["disputed"]
    let_pass(minutes=25 * 60)
    assert raised() == []


def test_an_orphan_callback_raises_an_alert(order: PlaceOrder) -> None:
    ProviderCallback.objects.create(request_id="x", body_sha256="0", outcome=ProviderCallback.Outcome.ORPHAN)

    assert [alert.title for alert in alert_rules.incidents()] == ["callbacks for no submission"]


def test_ordinary_events_and_repeated_callbacks_raise_none(order: PlaceOrder) -> None:
    """Negative control."""
    submissions = [order().submissions.get() for _ in range(2)]
    for submission in submissions:
        lifecycle_facts.reach_storing(submission)
        lifecycle_facts.stored(submission)
    ProviderCallback.objects.create(request_id="x", body_sha256="0", outcome=ProviderCallback.Outcome.IGNORED)

    assert raised() == []


# --- What is stuck ---


@pytest.fixture
def stuck(order: PlaceOrder) -> Generation:
    """A generation whose file cannot be stored."""
    generation = order()
    lifecycle_facts.reach_storing(generation.submissions.get())
    assert lifecycle.report_stuck(Output.objects.get(), detail="the storage is away")
    return generation


@pytest.mark.parametrize("minutes", [0, 61, 7 * 24 * 60])
def test_a_stuck_generation_raises_an_alert_until_it_has_ended(stuck: Generation, minutes: float) -> None:
    let_pass(minutes)

    (alert,) = alert_rules.incidents()
    lifecycle_facts.stored(stuck.submissions.get())

    assert (alert.name, str(stuck.pk) in alert.text) == ("stuck", True)
    assert raised() == []


def test_a_stuck_generation_that_fails_raises_no_alert_any_more(stuck: Generation) -> None:
    stuck.refresh_from_db()
    assert lifecycle.failed(stuck, lifecycle.failure(FailureCode.INTERNAL_ERROR), actor="limn")

    assert raised() == []


def test_the_episode_of_a_stuck_generation_lasts_as_long_as_it_is_stuck(stuck: Generation) -> None:
    begun = [email.subject for email in alerts.evaluate()]
    let_pass(minutes=61)

    assert (begun, alerts.evaluate()) == ([alert_rules.TITLES["stuck"]], [])
    assert [alert.name for alert in alerts.current()] == ["stuck"]
