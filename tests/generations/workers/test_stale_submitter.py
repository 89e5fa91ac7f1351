"""A sender that sleeps between noting the attempt and sending it. Found by the soak's failpoint `noted sleep`."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from generations import lifecycle
from generations.models import Phase, Submission
from generations.workers import submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("asleep_seconds, posts", [(1, 1), (30, 0)])
def test_e3_who_overslept_sends_nothing_for_another_may_have(
    asleep_seconds: float, posts: int, fal: Simulator, order: PlaceOrder
) -> None:
    generation = order()
    submission = lifecycle.submitting(generation)
    assert submission is not None
    submission.sent_at = timezone.now() - timedelta(seconds=asleep_seconds)

    submitter._send(generation, submission)

    assert len(fal.log.posts()) == posts


def test_what_an_overslept_sender_left_is_sent_by_the_next(fal: Simulator, order: PlaceOrder) -> None:
    generation = order()
    submission = lifecycle.submitting(generation)
    assert submission is not None
    submission.sent_at = timezone.now() - timedelta(minutes=5)
    submission.save()
    submitter._send(generation, submission)

    lifecycle.submission_lost(submission, detail="the sender went silent")
    lifecycle.not_on_record(submission)
    submitter.submit_now(generation)

    generation.refresh_from_db()
    assert (generation.phase, len(fal.log.accepted())) == (Phase.WAITING, 1)
    assert [row.state for row in generation.submissions.order_by("number")] == [
        Submission.State.MISSING,
        Submission.State.ACCEPTED,
    ]
