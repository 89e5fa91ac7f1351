"""In which phases each fact changes a generation, and what a fact does that is reported twice or out of order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from database import clock
from generations import lifecycle
from generations.models import CancelledBy, Event, Generation, Phase, Submission
from tests.fixtures.orders import PlaceOrder
from tests.helpers.lifecycle_facts import (
    ANSWER,
    FACTS,
    REACH,
    reach_submitting,
    reach_waiting,
)

pytestmark = pytest.mark.django_db

WITH_FAL = {Phase.SUBMITTING, Phase.UNKNOWN, Phase.WAITING, Phase.RUNNING}
CHANGES_IN = {
    "submitting": {Phase.QUEUED},
    "submitted": {Phase.QUEUED, Phase.SUBMITTING, Phase.UNKNOWN},
    "submission_lost": {Phase.SUBMITTING},
    "submission_refused": {Phase.SUBMITTING},
    "not_on_record": {Phase.UNKNOWN},
    "rejected": {Phase.SUBMITTING},
    "progressed: waiting": WITH_FAL,
    "progressed: running": WITH_FAL,
    "answered": {Phase.QUEUED} | WITH_FAL,
    "answered: no file": {Phase.QUEUED} | WITH_FAL,
    "answered_error": {Phase.QUEUED} | WITH_FAL,
    "failed": {Phase.QUEUED, Phase.STORING} | WITH_FAL,
    # Where fal may be working on it, `give_up` only informs staff.
    "give_up": {Phase.QUEUED},
    "cancelled": {Phase.QUEUED} | WITH_FAL,
    "cancel_asked": {Phase.QUEUED} | WITH_FAL,
    "cancel_sent": {Phase.QUEUED, Phase.STORING} | WITH_FAL,
}


@pytest.mark.parametrize("name", CHANGES_IN)
def test_a_fact_changes_a_generation_only_in_certain_phases(name: str, order: PlaceOrder) -> None:
    order()
    changed_in = set()

    for phase, reach in REACH.items():
        with transaction.atomic():
            reach(submission := Submission.objects.get())
            before = Generation.objects.values().get()
            changed = FACTS[name](submission)
            assert (Generation.objects.values().get() != before) is changed
            changed_in |= {phase} if changed else set()
            transaction.set_rollback(True)

    assert changed_in == CHANGES_IN[name]


# --- Submissions ---


def test_a_receipt_that_is_reported_twice_counts_once(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_submitting(submission)

    assert [FACTS["submitted"](submission), FACTS["submitted"](submission)] == [True, False]
    assert Submission.objects.count() == 1


def test_the_receipt_of_a_generation_that_is_to_be_cancelled_makes_it_due_at_once(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_submitting(submission)
    FACTS["cancel_asked"](submission)

    FACTS["submitted"](submission)

    due = Generation.objects.get().next_attempt_at
    assert due is not None
    assert due <= clock.now() + timedelta(seconds=1)


def test_an_accepted_submission_whose_receipt_is_lost_stays_accepted(order: PlaceOrder) -> None:
    """Its callback may come before the POST fails."""
    submission = order().submissions.get()
    reach_waiting(submission)

    FACTS["submission_lost"](submission)

    assert Submission.objects.get().state == Submission.State.ACCEPTED


def test_f11_a_second_job_of_a_submission_is_surplus_even_if_the_caller_does_not_know_the_first(
    order: PlaceOrder,
) -> None:
    submission = order().submissions.get()
    stale = Submission.objects.get()
    reach_waiting(submission)

    FACTS["submitted"](stale)

    submissions = Submission.objects.order_by("number").values_list("state", "request_id")
    assert list(submissions) == [("accepted", f"first {submission.pk}"), ("surplus", "job")]


def test_of_two_jobs_the_one_that_answers_first_is_accepted_and_the_other_surplus(order: PlaceOrder) -> None:
    first, unrelated = order().submissions.get(), order().submissions.get()
    reach_waiting(first)
    reach_waiting(unrelated)
    second = Submission.objects.create(generation=first.generation, number=2, state=Submission.State.SURPLUS)

    lifecycle.answered(second, ANSWER)

    states = Submission.objects.order_by("generation_id", "number").values_list("state", flat=True)
    assert list(states) == ["surplus", "accepted", "accepted"]
    assert Generation.objects.get(pk=first.generation_id).phase == Phase.STORING


# --- Cancellation and giving up ---


def test_a_cancellation_is_recorded_once(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_waiting(submission)

    answers = [
        lifecycle.cancel_asked(submission.generation, by=by, actor="user:alice")
        for by in (CancelledBy.CUSTOMER, CancelledBy.DEADLINE)
    ]

    assert answers == ["asked", "asked"]
    assert Generation.objects.get().cancel_asked_by == CancelledBy.CUSTOMER
    assert Event.objects.filter(fact="cancel_asked").count() == 1


@pytest.mark.parametrize("phase, events", [(Phase.WAITING, 1), (Phase.DONE, 0)])
def test_a_generation_is_reported_stuck_once_and_only_before_it_ends(
    phase: Phase, events: int, order: PlaceOrder
) -> None:
    submission = order().submissions.get()
    REACH[phase](submission)
    Submission.objects.update(state=Submission.State.ACCEPTED)

    for _ in range(2):
        FACTS["give_up"](submission)

    assert Event.objects.filter(fact="stuck").count() == events
