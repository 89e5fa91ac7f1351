"""Each fact is one transaction: move, credits, event and files are written together, or none of them."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from generations.models import Event, Generation, Phase, Submission
from tests.fixtures.orders import PlaceOrder
from tests.helpers.database_guards import rejecting_inserts
from tests.helpers.lifecycle_facts import FACTS, FILE_FACTS, REACH, rows

pytestmark = pytest.mark.django_db(transaction=True)

# Every fact that writes an event, and a phase in which it does.
WITH_EVENT = [
    (Phase.QUEUED, FACTS["submitting"]),
    (Phase.SUBMITTING, FACTS["submitted"]),
    (Phase.DONE, FACTS["submitted"]),  # A surplus job.
    (Phase.SUBMITTING, FACTS["submission_lost"]),
    (Phase.SUBMITTING, FACTS["submission_refused"]),
    (Phase.UNKNOWN, FACTS["not_on_record"]),
    (Phase.SUBMITTING, FACTS["rejected"]),
    (Phase.SUBMITTING, FACTS["progressed: running"]),
    (Phase.SUBMITTING, FACTS["answered"]),
    (Phase.SUBMITTING, FACTS["answered: no file"]),
    (Phase.SUBMITTING, FACTS["answered_error"]),
    (Phase.STORING, FILE_FACTS["stored"]),
    (Phase.STORING, FILE_FACTS["output_lost"]),
    (Phase.SUBMITTING, FACTS["failed"]),
    (Phase.QUEUED, FACTS["give_up"]),
    (Phase.SUBMITTING, FACTS["give_up"]),  # fal may be working on it, so only staff are informed.
    (Phase.SUBMITTING, FACTS["cancelled"]),
    (Phase.SUBMITTING, FACTS["cancel_asked"]),
    (Phase.QUEUED, FACTS["cancel_asked"]),
]


def test_a_fact_whose_event_cannot_be_written_changes_nothing(order: PlaceOrder) -> None:
    """I7, H11."""
    for phase, fact in WITH_EVENT:
        submission = order().submissions.get()
        REACH[phase](submission)
        before = rows()

        with pytest.raises(DatabaseError), rejecting_inserts(Event):
            fact(submission)

        assert rows() == before


def test_the_event_of_a_fact_is_written_before_its_transaction_ends(order: PlaceOrder) -> None:
    """H11: a process that dies right after the commit has written the event already."""
    order()
    for phase, fact in WITH_EVENT:
        with transaction.atomic():
            submission = Submission.objects.get()
            REACH[phase](submission)
            before = Event.objects.count()

            fact(submission)

            assert Event.objects.count() == before + 1
            transaction.set_rollback(True)


@pytest.mark.parametrize("table", [Generation, Submission, Event])
def test_a1_e10_an_order_is_written_with_its_hold_and_its_submission_or_not_at_all(
    table: type[Generation | Submission | Event], order: PlaceOrder
) -> None:
    before = rows()

    with pytest.raises(DatabaseError), rejecting_inserts(table):
        order()

    assert rows() == before
