"""Cancelling: what fal has is fal's to decide. Case A24."""

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


def ask(generation: Generation) -> str:
    return cancel_asked(generation, by=CancelledBy.CUSTOMER, actor="user:alice")


def test_what_fal_does_not_have_is_released_at_once(fal: Simulator, alice: Account, order: PlaceOrder) -> None:
    generation = order()

    assert ask(generation) == "released"

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.held, fal.log.posts()) == (FailureCode.CANCELLED, 0, [])


def test_asking_again_gives_the_same_answer(order: PlaceOrder) -> None:
    generation = order()

    assert [ask(generation), ask(generation)] == ["released", "released"]


@pytest.mark.parametrize("answer", ["ok", "cancelled"])
def test_when_fal_stops_it_nothing_is_charged(
    answer: str, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("hold", f"cancel:{answer}", "callback:lost")
    generation = order()
    work.submit()

    assert ask(generation) == "asked"

    work.until_done(generation)
    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.CANCELLED, 1000, 0)


@pytest.mark.parametrize("answer", ["completes_anyway", "already_completed"])
def test_when_fal_finishes_it_anyway_it_is_delivered_and_charged(
    answer: str, fal: Simulator, callbacks: CallbackSender, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("hold", f"cancel:{answer}", "callback:lost")
    generation = order()
    work.submit()
    ask(generation)
    work.reconcile()
    fal.finish(callbacks.request_id(generation.submissions.get()))

    work.until_done(generation)

    alice.refresh_from_db()
    assert (generation.status, alice.balance) == (Status.COMPLETED, 997)


def test_what_has_ended_stays_as_it_is(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = work.until_done(order())

    assert ask(generation) == "finished"

    generation.refresh_from_db()
    assert generation.status == Status.COMPLETED


def test_what_is_being_copied_is_finished_already(callbacks: CallbackSender, submitted: Submission) -> None:
    callbacks.send(submitted)

    assert ask(submitted.generation) == "finished"


def test_a_cancellation_while_submitting_is_passed_on_with_the_receipt(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "hold", "callback:lost", "cancel:ok")
    generation = order()
    work.submit()
    assert ask(generation) == "asked"
    submission = generation.submissions.get()
    (request,) = fal.log.accepted()

    lifecycle.submitted(submission, clients.fal().receipt_for(generation.endpoint, request.request_id))

    assert work.until_done(generation).failure_code == FailureCode.CANCELLED


def test_a_job_that_fal_cancelled_by_itself_is_a_failure_of_the_provider(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("fail:client_cancelled", "callback:lost")

    assert work.until_done(order()).failure_code == FailureCode.PROVIDER_ERROR


def test_a_cancellation_that_fal_does_not_hear_is_sent_again(
    settings, fal: Simulator, submitted: Submission, work: Work
) -> None:
    ask(submitted.generation)
    Submission.objects.update(cancel_url=f"{fal.canary_url}/cancel")

    work.reconcile()

    assert Generation.objects.get().cancel_sent_at is None
