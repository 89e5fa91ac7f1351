"""Several claimed rows at the same time. Case ids: docs/failure-modes.md, group E."""

from __future__ import annotations

import threading

import pytest

from generations import lifecycle
from generations.jobs import leases, parallel
from generations.models import Generation, Submission
from tests.fixtures.orders import PlaceOrder

pytestmark = pytest.mark.django_db(transaction=True)
HUGE = "x" * 1_000_000


def test_e5_a_huge_exception_that_cannot_be_pickled_stops_no_other_row(order: PlaceOrder) -> None:
    failing, other = order(), order()
    claimed = leases.claim(Generation.objects.in_progress(), limit=2, seconds=30)
    handled: list[Generation] = []

    def handle(generation: Generation) -> None:
        if generation == failing:
            raise RuntimeError(HUGE, threading.Lock())
        handled.append(generation)

    assert parallel.run(claimed, handle, give_up=handle, lease_seconds=30) == 2
    assert handled == [other]


def test_e5_a_huge_error_is_stored_in_shortened_form(order: PlaceOrder) -> None:
    submission = lifecycle.submitting(order())
    assert submission is not None

    lifecycle.submission_lost(submission, detail=HUGE)

    assert Submission.objects.get().detail == HUGE[:500]
