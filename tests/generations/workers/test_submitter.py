"""The submitter: one submission is one POST, whatever happens to the connection.

Case ids: docs/failure-modes.md, group A.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.models import CancelledBy, FailureCode, Generation, Phase, Status, Submission
from generations.provider import circuit_breaker
from generations.workers import reconciler, submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.clocks import just_passed
from tests.helpers.outages import let_patience_end

pytestmark = pytest.mark.django_db(transaction=True)

# What fal may answer to a submission, by what Limn knows then.
NOT_ACCEPTED = [
    *("status:408", "status:409", "status:425", "status:429", "status:500-bare", "status:503-bare"),
    *("status:503-nginx", "redirect"),
]
FORBIDDEN = ["status:401", "status:402", "status:403"]
UNKNOWN = [
    *("drop_after_accept", "drop_before_accept", "reset", "status:500", "status:502", "status:503", "status:504"),
    *("status:504-nginx", "status:504-bare", "garbage200:json", "garbage200:html", "garbage200:no_request_id"),
    "garbage200:big",
]
REJECTED = {"status:400": "invalid_input", "status:404": "provider_error", "status:422": "invalid_input"}


SubmitWith = Callable[[str], Generation]


@pytest.fixture
def submit_with(fal: Simulator, order: PlaceOrder) -> SubmitWith:
    """`submit_with(fault)`: a new generation whose submission fal answers in this way."""

    def submit(fault: str) -> Generation:
        # A forbidden submission opened it.
        circuit_breaker.reset()
        fal.script(fault)
        generation = order()
        submitter.submit_now(generation)
        generation.refresh_from_db()
        return generation

    return submit


# --- Answers of fal ---


def test_a6_a_submission_is_exactly_one_post(fal: Simulator, submit_with: SubmitWith) -> None:
    for number, fault in enumerate([*NOT_ACCEPTED, *FORBIDDEN, *UNKNOWN, *REJECTED], start=1):
        generation = submit_with(fault)

        assert len(fal.log.posts()) == number, fault
        assert generation.submissions.exclude(sent_at=None).count() == 1, fault


def test_a17_a18_a_submission_that_fal_did_not_accept_is_repeated(submit_with: SubmitWith, work: Work) -> None:
    for fault in NOT_ACCEPTED:
        generation = submit_with(fault)
        assert (generation.status, generation.phase) == (Status.PENDING, Phase.QUEUED), fault

        work.until_done(generation)

        states = [submission.state for submission in generation.submissions.order_by("number")]
        assert (generation.status, states) == (Status.COMPLETED, ["refused", "accepted"]), fault


def test_a4_a19_a_submission_that_fal_may_have_accepted_is_neither_repeated_nor_released(
    fal: Simulator, alice: Account, submit_with: SubmitWith, work: Work
) -> None:
    for number, fault in enumerate(UNKNOWN, start=1):
        generation = submit_with(fault)
        work.submit()

        alice.refresh_from_db()
        assert generation.phase == Phase.UNKNOWN, fault
        assert (alice.held, len(fal.log.posts())) == (number * generation.credits, number), fault


def test_a15_a16_a_submission_that_fal_rejects_fails_and_costs_nothing(alice: Account, submit_with: SubmitWith) -> None:
    for fault, code in REJECTED.items():
        generation = submit_with(fault)

        alice.refresh_from_db()
        assert (generation.status, generation.failure_code) == (Status.FAILED, code), fault
        assert (alice.balance, alice.held) == (1000, 0), fault


def test_a22_a_redirect_is_not_followed(fal: Simulator, submit_with: SubmitWith) -> None:
    """The request carries the key."""
    submit_with("redirect")

    assert fal.log.visits() == []


def test_urls_of_another_host_in_the_receipt_are_replaced(fal: Simulator, submit_with: SubmitWith, work: Work) -> None:
    generation = submit_with("garbage200:wrong_host")

    assert generation.submissions.get().status_url.startswith(f"{fal.url}/fal-ai/flux/requests/")
    assert work.until_done(generation).status == Status.COMPLETED


def test_retry_after_postpones_the_next_submission(submit_with: SubmitWith) -> None:
    generation = submit_with("status:429-retry-after")

    answered_at = generation.submissions.get(number=1).answered_at
    assert answered_at is not None
    assert generation.next_attempt_at is not None
    assert generation.next_attempt_at >= answered_at + timedelta(seconds=1)


def test_a_refusal_of_the_account_after_the_deadline_fails_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.always("status:403")
    generation = order()
    Generation.objects.update(deadline_at=just_passed())

    work.submit()

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, generation.retryable, alice.held) == ("provider_unfunded", True, 0)


def test_a5_a_generation_stays_queued_while_fal_cannot_be_reached(settings, order: PlaceOrder, work: Work) -> None:
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"
    generation = order()

    work.submit()

    generation.refresh_from_db()
    assert (generation.phase, generation.submissions.count()) == (Phase.QUEUED, 2)


def test_nothing_is_sent_with_a_key_that_no_header_can_hold(
    settings, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    settings.FAL_KEY = "key-with-a-newline\n"
    generation = order()

    work.submit()

    generation.refresh_from_db()
    assert (generation.phase, fal.log.posts()) == (Phase.QUEUED, [])


# --- Lost receipts and killed processes ---


def test_a1_an_order_whose_request_was_killed_is_submitted_by_a_worker(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()

    work.until_done(generation)

    assert generation.status == Status.COMPLETED


def test_a2_a_submission_whose_sender_died_is_unknown(order: PlaceOrder, work: Work) -> None:
    generation = order()
    lifecycle.submitting(generation)
    Submission.objects.update(sent_at=timezone.now() - timedelta(minutes=1))

    work.reconcile()

    generation.refresh_from_db()
    assert (generation.phase, generation.submissions.get().state) == (Phase.UNKNOWN, Submission.State.UNKNOWN)


def test_a_submission_whose_sender_is_at_work_is_left_to_it(order: PlaceOrder, work: Work) -> None:
    """A cancellation makes the row due while the POST is on its way."""
    generation = order()
    lifecycle.submitting(generation)
    lifecycle.cancel_asked(generation, by=CancelledBy.CUSTOMER, actor="user:alice")

    work.reconcile()

    generation.refresh_from_db()
    assert generation.phase == Phase.SUBMITTING


def test_a3_the_callback_identifies_a_job_whose_receipt_was_lost(
    fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost")
    generation = order()
    work.submit()

    status = callbacks.send(generation.submissions.get())

    work.until_done(generation)
    assert (status, generation.status, len(fal.log.accepted())) == (200, Status.COMPLETED, 1)


def test_a4_an_unknown_submission_fails_at_the_deadline_and_costs_nothing(
    alice: Account, submit_with: SubmitWith, work: Work
) -> None:
    generation = submit_with("drop_before_accept")
    Generation.objects.update(deadline_at=just_passed())
    work.reconcile()
    assert Generation.objects.get().phase == Phase.UNKNOWN
    let_patience_end(reconciler.UNKNOWN_PATIENCE)

    work.reconcile()

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.held) == (FailureCode.SUBMISSION_UNKNOWN, 0)


def test_a_generation_that_is_submitted_twice_is_posted_once(fal: Simulator, order: PlaceOrder) -> None:
    generation = order()

    submitter.submit_now(generation)
    submitter.submit_now(generation)

    assert len(fal.log.posts()) == 1


# --- Submissions that were recorded and not sent ---


def test_a_submission_that_could_not_be_prepared_is_made_again_at_once(fal: Simulator, order: PlaceOrder) -> None:
    """Nothing was sent, so no one waits for fal's record of it."""

    def fail(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if 'FROM "generations_inputfile"' in sql:
            raise OperationalError("the database is away")
        return execute(sql, *rest)

    generation = order()
    with connection.execute_wrapper(fail), pytest.raises(OperationalError):
        submitter.submit_now(generation)
    generation.refresh_from_db()
    assert (generation.phase, generation.submissions.get().sent_at) == (Phase.QUEUED, None)

    submitter.submit_now(generation)

    generation.refresh_from_db()
    assert (generation.phase, len(fal.log.posts())) == (Phase.WAITING, 1)


# --- Senders that were suspended (found by the failpoint `noted sleep`) ---


@pytest.mark.parametrize("seconds, posts", [(1, 1), (30, 0)])
def test_e3_a_sender_that_slept_too_long_sends_nothing(
    seconds: float, posts: int, fal: Simulator, order: PlaceOrder
) -> None:
    """By then it is taken for dead, and another submission may be on its way."""
    generation = order()
    submission = lifecycle.submitting(generation)
    assert submission is not None
    submission.sent_at = timezone.now() - timedelta(seconds=seconds)

    submitter.send(generation, submission)

    assert len(fal.log.posts()) == posts


@pytest.mark.parametrize("is_taken_for_lost", [False, True])
def test_a_submission_whose_sender_was_suspended_is_made_again(
    fal: Simulator, order: PlaceOrder, is_taken_for_lost: bool
) -> None:
    """At once, also if the reconciler has taken it for lost: fal's record is not waited for."""
    generation = order()
    submission = lifecycle.submitting(generation)
    assert submission is not None
    submission.sent_at = timezone.now() - timedelta(minutes=5)
    submission.save()
    if is_taken_for_lost:
        lifecycle.submission_lost(submission, detail="the sender recorded no answer")
    submitter.send(generation, submission)

    submitter.submit_now(generation)

    generation.refresh_from_db()
    assert (generation.phase, len(fal.log.accepted())) == (Phase.WAITING, 1)
    assert generation.submissions.get().state == Submission.State.ACCEPTED
