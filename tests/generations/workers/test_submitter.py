"""One submission is one POST, whatever happens to the connection. Case ids: docs/failure-modes.md, group A."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.models import CancelledBy, FailureCode, Generation, Phase, Status, Submission
from generations.workers import submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender

pytestmark = pytest.mark.django_db(transaction=True)

NOT_TAKEN = ["status:408", "status:409", "status:425", "status:429", "status:500-bare", "status:503-bare"]
NOT_TAKEN += ["status:503-nginx", "redirect"]
FORBIDDEN = ["status:401", "status:402", "status:403"]
PERHAPS_TAKEN = [
    *("drop_after_accept", "drop_before_accept", "reset", "status:500", "status:502", "status:503", "status:504"),
    *("status:504-nginx", "status:504-bare", "garbage200:json", "garbage200:html", "garbage200:no_request_id"),
    "garbage200:big",
]
REJECTED = {"status:400": "invalid_input", "status:404": "provider_error", "status:422": "invalid_input"}


def submitted_once(order: PlaceOrder, work: Work) -> Generation:
    generation = order()
    work.submit()
    generation.refresh_from_db()
    return generation


@pytest.mark.parametrize("fault", NOT_TAKEN + FORBIDDEN + PERHAPS_TAKEN + list(REJECTED))
def test_a6_one_attempt_is_exactly_one_post(fault: str, fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script(fault)

    generation = submitted_once(order, work)

    assert len(fal.log.posts()) == 1
    assert generation.submissions.exclude(sent_at=None).count() == 1


@pytest.mark.parametrize("fault", NOT_TAKEN)
def test_a17_a18_what_fal_did_not_take_waits_and_is_sent_again(
    fault: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault)
    generation = submitted_once(order, work)
    assert (generation.status, generation.phase) == (Status.PENDING, Phase.QUEUED)

    work.until_done(generation)

    assert generation.status == Status.COMPLETED
    assert [attempt.state for attempt in generation.submissions.order_by("number")] == ["refused", "accepted"]


@pytest.mark.parametrize("fault", PERHAPS_TAKEN)
def test_a4_a19_what_fal_may_have_taken_is_never_sent_again_nor_released(
    fault: str, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault)

    generation = submitted_once(order, work)
    work.submit()

    alice.refresh_from_db()
    assert (generation.phase, alice.held, len(fal.log.posts())) == (Phase.UNKNOWN, generation.credits, 1)


@pytest.mark.parametrize("fault, code", REJECTED.items())
def test_a15_a16_what_fal_will_never_take_fails_and_costs_nothing(
    fault: str, code: str, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault)

    generation = submitted_once(order, work)

    alice.refresh_from_db()
    assert (generation.status, generation.failure_code) == (Status.FAILED, code)
    assert (alice.balance, alice.held) == (1000, 0)


def test_a3_a_job_whose_receipt_was_lost_is_adopted_by_its_callback(
    fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost")
    generation = submitted_once(order, work)

    answer = callbacks.send(generation.submissions.get())

    work.until_done(generation)
    assert (answer, generation.status, len(fal.log.accepted())) == (200, Status.COMPLETED, 1)


def test_a4_an_unknown_submission_fails_at_its_deadline_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_before_accept")
    generation = submitted_once(order, work)
    Generation.objects.update(deadline_at=timezone.now())

    work.reconcile()

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.held) == (FailureCode.SUBMISSION_UNKNOWN, 0)


def test_a22_a_redirect_is_not_followed_and_the_key_goes_nowhere(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("redirect")

    submitted_once(order, work)

    assert fal.log.visits() == []


def test_a2_a_sender_that_died_leaves_an_attempt_that_may_have_been_sent(order: PlaceOrder, work: Work) -> None:
    generation = order()
    lifecycle.submitting(generation)
    Submission.objects.update(sent_at=timezone.now() - timedelta(minutes=1))

    work.reconcile()

    generation.refresh_from_db()
    assert (generation.phase, generation.submissions.get().state) == (Phase.UNKNOWN, Submission.State.UNKNOWN)


def test_a_sender_at_work_is_not_taken_for_dead(order: PlaceOrder, work: Work) -> None:
    """A cancellation, or staff who ask now, make the row due while the POST is on its way."""
    generation = order()
    lifecycle.submitting(generation)
    lifecycle.cancel_asked(generation, by=CancelledBy.CUSTOMER, actor="user:alice")

    work.reconcile()

    generation.refresh_from_db()
    assert generation.phase == Phase.SUBMITTING


def test_a1_an_order_whose_view_died_is_found_by_the_sweep(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = order()

    work.until_done(generation)

    assert generation.status == Status.COMPLETED


def test_two_senders_of_one_order_post_once(fal: Simulator, order: PlaceOrder) -> None:
    generation = order()

    submitter.submit_now(generation)
    submitter.submit_now(generation)

    assert len(fal.log.posts()) == 1


def test_foreign_addresses_in_the_receipt_are_replaced_by_our_own(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("garbage200:wrong_host")

    generation = submitted_once(order, work)

    submission = generation.submissions.get()
    assert submission.status_url.startswith(f"{fal.url}/fal-ai/flux/requests/")
    assert work.until_done(generation).status == Status.COMPLETED


@pytest.mark.parametrize("fault, code", [("status:503-bare", "provider_error"), ("status:403", "provider_unfunded")])
def test_a_refusal_that_outlasts_the_deadline_fails_and_costs_nothing(
    fault: str, code: str, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.always(fault)
    generation = order()
    Generation.objects.update(deadline_at=timezone.now())

    work.submit()

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, generation.retryable, alice.held) == (code, True, 0)


def test_retry_after_is_honoured(fal: Simulator, order: PlaceOrder) -> None:
    fal.script("status:429-retry-after")
    generation = order()

    submitter.run_once(limit=1)

    generation.refresh_from_db()
    assert generation.next_attempt_at is not None
    assert (generation.next_attempt_at - timezone.now()).total_seconds() > 0


def test_a5_an_unreachable_fal_leaves_the_order_queued(settings, order: PlaceOrder, work: Work) -> None:
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    generation = submitted_once(order, work)

    assert (generation.phase, generation.submissions.count()) == (Phase.QUEUED, 2)


def test_without_a_usable_key_nothing_is_sent(settings, fal: Simulator, order: PlaceOrder, work: Work) -> None:
    settings.FAL_KEY = "key-with-a-newline\n"

    generation = submitted_once(order, work)

    assert (generation.phase, fal.log.posts()) == (Phase.QUEUED, [])
