"""What belongs together is written together or not at all: move, money, timeline, files and the next attempt."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from credits.models import Account
from generations.models import Event, Generation, Submission
from tests.fixtures.orders import Ordering
from tests.helpers.database_guards import rejecting_inserts
from tests.helpers.lifecycle_facts import FACTS, OF_FILES, Fact, ended, queued, rows, sent, storing, unknown

pytestmark = pytest.mark.django_db(transaction=True)

# Each fact that is told, and where the order stands before it.
TOLD: dict[str, tuple[Fact, Fact]] = {
    "submitting": (queued, FACTS["submitting"]),
    "submitted": (sent, FACTS["submitted"]),
    "surplus": (ended, FACTS["submitted"]),
    "submission lost": (sent, FACTS["submission lost"]),
    "not taken": (sent, FACTS["not taken"]),
    "not on record": (unknown, FACTS["not on record"]),
    "rejected": (sent, FACTS["rejected"]),
    "progressed": (sent, FACTS["at work"]),
    "answered": (sent, FACTS["answered"]),
    "answered nothing": (sent, FACTS["answered nothing"]),
    "answered an error": (sent, FACTS["answered an error"]),
    "stored": (storing, OF_FILES["stored"]),
    "lost": (storing, OF_FILES["lost"]),
    "failed": (sent, FACTS["failed"]),
    "given up": (queued, FACTS["given up"]),
    "stuck": (sent, FACTS["given up"]),
    "cancelled": (sent, FACTS["cancelled"]),
    "cancel asked": (sent, FACTS["cancel asked"]),
    "cancel asked in time": (queued, FACTS["cancel asked"]),
}


@pytest.mark.parametrize("before, fact", TOLD.values(), ids=TOLD)
def test_a_fact_that_cannot_be_told_has_not_happened(before: Fact, fact: Fact, order: Ordering) -> None:
    """I7, H11: move, money and files go with the line of the timeline, or all of them stay away."""
    attempt = order().submissions.get()
    before(attempt)
    was = rows()

    with pytest.raises(DatabaseError), rejecting_inserts(Event):
        fact(attempt)

    assert rows() == was


@pytest.mark.parametrize("before, fact", TOLD.values(), ids=TOLD)
def test_a_fact_is_told_before_its_transaction_ends(before: Fact, fact: Fact, order: Ordering) -> None:
    """H11: a process that dies right after the commit has told it already."""
    attempt = order().submissions.get()
    before(attempt)
    told = Event.objects.count()

    with transaction.atomic():
        fact(attempt)
        assert Event.objects.count() == told + 1


@pytest.mark.parametrize("table", [Generation, Submission, Event])
def test_a1_e10_an_order_is_there_with_its_hold_and_its_attempt_or_not_at_all(
    table: type[Generation | Submission | Event], alice: Account, order: Ordering
) -> None:
    was = rows()

    with pytest.raises(DatabaseError), rejecting_inserts(table):
        order()

    assert rows() == was
