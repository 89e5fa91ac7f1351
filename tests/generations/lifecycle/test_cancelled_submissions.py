"""A cancellation is asked for while a submission is on its way, and fal turns out not to have it. Case A34."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from credits.models import Account
from generations import lifecycle
from generations.models import CancelledBy, FailureCode, Status, Submission
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.lifecycle_facts import reach_submitting, reach_unknown

pytestmark = pytest.mark.django_db(transaction=True)
Fact = Callable[[Submission], object]
WAYS: dict[str, tuple[Fact, Fact]] = {
    "not on record": (reach_unknown, lifecycle.not_on_record),
    "not sent": (reach_submitting, lambda submission: lifecycle.not_sent(submission, detail="suspended")),
    "refused": (
        reach_submitting,
        lambda submission: lifecycle.submission_refused(submission, detail="busy", retry_in_seconds=0),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a34_a_cancelled_order_that_fal_does_not_have_ends_without_a_post(
    way: str, order: PlaceOrder, alice: Account, work: Work, fal: Simulator
) -> None:
    reach, report = WAYS[way]
    generation = order()
    submission = generation.submissions.get()
    reach(submission)
    assert lifecycle.cancel_asked(generation, by=CancelledBy.CUSTOMER, actor="user:alice") == "asked"

    report(submission)

    work.until_done(generation)
    alice.refresh_from_db()
    assert (generation.status, generation.failure_code) == (Status.FAILED, FailureCode.CANCELLED)
    assert (alice.balance, alice.held, fal.log.posts()) == (1000, 0, [])
