"""Cancellation: what fal has accepted is fal's to decide, and the rest is released at once. Case A24."""

from __future__ import annotations

import pytest

from credits.models import Account
from generations import lifecycle
from generations.lifecycle import cancel_asked
from generations.models import CancelledBy, FailureCode, Generation, Status, Submission
from generations.provider import clients
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender

pytestmark = pytest.mark.django_db(transaction=True)


def cancel(generation: Generation) -> str:
    return cancel_asked(generation, by=CancelledBy.CUSTOMER, actor="user:alice")


# --- Before fal has it ---


def test_a_queued_generation_is_released_at_once(fal: Simulator, alice: Account, order: PlaceOrder) -> None:
    generation = order()

    assert cancel(generation) == "released"

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.held, fal.log.posts()) == (FailureCode.CANCELLED, 0, [])


def test_a_repeated_cancellation_is_answered_like_the_first(order: PlaceOrder) -> None:
    generation = order()

    assert [cancel(generation), cancel(generation)] == ["released", "released"]


# --- While fal has it ---


@pytest.mark.parametrize("verdict", ["ok", "cancelled"])
def test_a_generation_that_fal_stops_costs_nothing(
    verdict: str, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("hold", f"cancel:{verdict}", "callback:lost")
    generation = order()
    work.submit()

    assert cancel(generation) == "asked"

    work.until_done(generation)
    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.CANCELLED, 1000, 0)


@pytest.mark.parametrize("verdict", ["completes_anyway", "already_completed"])
def test_a_generation_that_fal_finishes_all_the_same_is_delivered_and_charged(
    verdict: str, fal: Simulator, callbacks: CallbackSender, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("hold", f"cancel:{verdict}", "callback:lost")
    generation = order()
    work.submit()
    cancel(generation)
    work.reconcile()
    fal.finish(callbacks.request_id(generation.submissions.get()))

    work.until_done(generation)

    alice.refresh_from_db()
    assert (generation.status, alice.balance) == (Status.COMPLETED, 997)


def test_a_cancellation_before_the_receipt_is_passed_on_after_it(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("drop_after_accept", "hold", "callback:lost", "cancel:ok")
    generation = order()
    work.submit()
    assert cancel(generation) == "asked"
    (request,) = fal.log.accepted()

    receipt = clients.fal().receipt_for(generation.endpoint, request.request_id)
    lifecycle.submitted(generation.submissions.get(), receipt)

    assert work.until_done(generation).failure_code == FailureCode.CANCELLED


def test_a_job_that_fal_cancels_without_a_request_is_a_failure_of_the_provider(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("fail:client_cancelled", "callback:lost")

    assert work.until_done(order()).failure_code == FailureCode.PROVIDER_ERROR


def test_a_cancellation_that_fal_did_not_receive_is_not_recorded_as_sent(
    settings, submitted: Submission, work: Work
) -> None:
    cancel(submitted.generation)
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    work.reconcile()

    assert Generation.objects.get().cancel_sent_at is None


# --- After fal has finished it ---


def test_a_completed_generation_cannot_be_cancelled(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = work.until_done(order())

    assert cancel(generation) == "finished"

    generation.refresh_from_db()
    assert generation.status == Status.COMPLETED


def test_a_generation_whose_files_are_being_copied_cannot_be_cancelled(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    callbacks.send(submitted)

    assert cancel(submitted.generation) == "finished"
