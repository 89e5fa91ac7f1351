"""Submissions whose answer was lost: their callback, fal's record or the deadline decides, in this order.

Cases A2 to A4 and F11 of docs/failure-modes.md.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from credits.models import Account
from generations import lifecycle
from generations.fal import ProviderReceipt, wire
from generations.models import FailureCode, Generation, Output, Phase, ProviderCallback, Status, Submission
from generations.provider import clients
from generations.workers import callback_inbox, reconciler, surplus_canceller
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.clocks import just_passed
from tests.helpers.database_guards import rejecting_inserts
from tests.helpers.outages import let_outage_pass, let_patience_end

pytestmark = pytest.mark.django_db(transaction=True)
CAT = "https://example.com/cat.png"


def submit_and_lose(order: PlaceOrder, work: Work) -> Generation:
    """A generation whose submission is unknown. The simulator's scenario must lose the answer."""
    generation = order()
    work.submit()
    generation.refresh_from_db()
    assert generation.phase == Phase.UNKNOWN
    return generation


def send_without_recording(generation: Generation) -> tuple[Submission, ProviderReceipt]:
    """fal has accepted the submission, and its sender has not recorded the receipt yet."""
    submission = lifecycle.submitting(generation)
    assert submission is not None
    receipt = clients.fal().submit(generation.endpoint, generation.arguments, webhook_url="", start_timeout_seconds=60)
    return submission, receipt


def submit_again_as_missing(generation: Generation) -> Submission:
    """Plans a second submission, as if fal's record did not know the first one. Returns the first one."""
    first = generation.submissions.get()
    Submission.objects.update(state=Submission.State.MISSING)
    Generation.objects.update(phase=Phase.QUEUED)
    Submission.objects.create(generation=generation, number=2)
    return first


def let_minutes_pass(minutes: int) -> None:
    Submission.objects.update(sent_at=F("sent_at") - timedelta(minutes=minutes))


def states(generation: Generation) -> list[str]:
    return list(generation.submissions.order_by("number").values_list("state", flat=True))


# --- fal's record ---


def test_a4_a_job_that_fals_record_knows_is_adopted(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("drop_after_accept", "callback:lost")
    generation = submit_and_lose(order, work)

    work.until_done(generation)

    assert (generation.status, len(fal.log.accepted()), states(generation)) == (Status.COMPLETED, 1, ["accepted"])


def test_a_submission_that_fals_record_does_not_know_yet_stays_unknown(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_before_accept")
    generation = submit_and_lose(order, work)

    work.reconcile()

    assert states(generation) == ["unknown"]


def test_a2_a_submission_that_fals_record_does_not_know_after_minutes_is_repeated(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_before_accept")
    generation = submit_and_lose(order, work)
    let_minutes_pass(3)

    work.until_done(generation)

    assert (generation.status, states(generation)) == (Status.COMPLETED, ["missing", "accepted"])
    assert (len(fal.log.posts()), len(fal.log.accepted())) == (2, 1)


def test_the_submission_of_a_slow_model_is_repeated_later(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    """fal's record may not show a request while it runs."""
    fal.script("drop_before_accept")
    generation = order("veo3.1", prompt="a cat", duration="4s", generate_audio=False)
    work.submit()

    let_minutes_pass(3)
    work.reconcile()
    after_three_minutes = states(generation)
    let_minutes_pass(2)
    work.reconcile()

    assert (after_three_minutes, states(generation)) == (["unknown"], ["missing", "planned"])


def test_a_submission_is_repeated_twice_at_most(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.always("drop_before_accept")
    generation = submit_and_lose(order, work)

    for _ in range(4):
        let_minutes_pass(3)
        work.reconcile()
        work.submit()

    assert states(generation) == ["missing", "missing", "unknown"]


# --- Identical orders ---


def test_of_two_identical_lost_submissions_each_finds_its_own_job(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    """The seeds that Limn has drawn tell them apart."""
    fal.script("drop_after_accept", "callback:lost")
    fal.script("drop_before_accept")
    identical = [submit_and_lose(order, work), submit_and_lose(order, work)]

    work.reconcile()

    assert [states(generation) for generation in identical] == [["accepted"], ["unknown"]]


def test_a_lost_submission_does_not_adopt_the_job_of_an_identical_one_that_is_being_sent(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_before_accept", "hold")
    lost, sent = submit_and_lose(order, work), order()
    submission, receipt = send_without_recording(sent)

    work.reconcile()

    assert states(lost) == ["unknown"]
    assert lifecycle.submitted(submission, receipt)
    assert states(sent) == ["accepted"]


# --- The jobs of other programs on the same account of fal ---


def order_as_a_stranger(arguments: dict[str, Any]) -> str:
    """Orders the same from fal as another program would. Returns the request id."""
    fal = clients.fal()
    return fal.submit("fal-ai/flux/schnell", arguments, webhook_url="", start_timeout_seconds=60).request_id


def test_a4_the_job_of_a_stranger_is_never_adopted(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("drop_before_accept")
    generation = submit_and_lose(order, work)
    stranger = order_as_a_stranger(generation.arguments)
    # The record ages as well, so the job of the stranger is where that of the order would be.
    let_outage_pass(timedelta(minutes=3), fal)

    work.until_done(generation)

    assert (generation.status, states(generation)) == (Status.COMPLETED, ["missing", "accepted"])
    assert not Submission.objects.filter(request_id=stranger).exists()


@pytest.mark.parametrize("is_own", [True, False], ids=["its own job", "the job of a stranger"])
def test_a4_a_process_that_does_not_know_the_model_neither_adopts_nor_repeats(
    is_own: bool, fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of another release runs meanwhile."""
    fal.script("drop_after_accept" if is_own else "drop_before_accept", "callback:lost")
    generation = submit_and_lose(order, work)
    if not is_own:
        order_as_a_stranger(generation.arguments)
    let_outage_pass(timedelta(minutes=10), fal)
    with monkeypatch.context() as other_release:
        other_release.setattr(reconciler, "MODELS", {})
        work.reconcile()

    assert states(generation) == ["unknown"]
    assert len(fal.log.posts()) == 1 + (not is_own)
    assert work.until_done(generation).status == Status.COMPLETED


@pytest.mark.parametrize(
    "model, inputs", [("flux-schnell", {"prompt": "a cat", "seed": 7}), ("birefnet-v2", {"image_url": CAT})], ids=str
)
def test_a4_without_a_seed_of_limns_own_it_waits_for_its_callback(
    model: str, inputs: dict[str, Any], fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    """The customer has chosen the seed, or the model has none."""
    fal.script("drop_after_accept", "callback:lost")
    generation = order(model, **inputs)
    work.submit()
    let_outage_pass(timedelta(minutes=30), fal)

    work.reconcile()
    work.reconcile()

    assert (states(generation), generation.events.filter(fact="ambiguous").count()) == (["unknown"], 1)
    callbacks.send(generation.submissions.get())
    assert work.until_done(generation).status == Status.COMPLETED
    assert len(fal.log.posts()) == 1


def test_a4_a_record_that_names_the_webhook_proves_whose_job_it_is(
    fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fal's documentation of the record names no such member."""
    fal.script("drop_after_accept", "callback:lost")
    generation = order(prompt="a cat", seed=7)
    work.submit()
    original = wire.read_record

    def with_webhook(body: bytes) -> wire.RecordPage:
        page = original(body)
        url = clients.callback_url(generation.submissions.get())
        return replace(page, items=[replace(item, texts=frozenset({url})) for item in page.items])

    monkeypatch.setattr(wire, "read_record", with_webhook)

    assert work.until_done(generation).status == Status.COMPLETED
    assert states(generation) == ["accepted"]


# --- Requests that belong to another order ---


def test_a33_a_callback_for_a_request_of_another_order_is_delivered_to_neither(
    fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_before_accept", "hold")
    first, second = submit_and_lose(order, work), order()
    submission, receipt = send_without_recording(second)
    callbacks.client.raise_request_exception = False
    with rejecting_inserts(Output):
        callbacks.send(submission, request_id=receipt.request_id)
    assert lifecycle.submitted(first.submissions.get(), receipt)

    assert not callback_inbox.catch_up(second)

    first.refresh_from_db()
    assert (first.phase, states(second)) == (Phase.WAITING, ["disputed"])
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.CONFLICT
    assert not lifecycle.submitted(submission, receipt)


def test_a_submission_that_stays_unknown_fails_at_its_deadline_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost")
    generation = order(prompt="a cat", seed=7)
    work.submit()
    work.reconcile()
    let_patience_end(reconciler.UNKNOWN_PATIENCE)
    work.reconcile()
    before_the_deadline = states(generation)
    Generation.objects.update(deadline_at=just_passed())

    work.reconcile()

    alice.refresh_from_db()
    generation.refresh_from_db()
    assert (before_the_deadline, generation.failure_code) == (["unknown"], FailureCode.SUBMISSION_UNKNOWN)
    assert alice.held == 0


# --- Surplus jobs ---


def test_f11_a_first_job_that_is_found_after_the_end_is_surplus_and_cancelled(
    fal: Simulator, callbacks: CallbackSender, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost", "hold")
    generation = submit_and_lose(order, work)
    first = submit_again_as_missing(generation)
    work.until_done(generation)

    assert callbacks.send(first) == 200
    assert surplus_canceller.run_once(limit=10) == 1

    alice.refresh_from_db()
    first.refresh_from_db()
    assert (alice.balance, first.state, first.surplus_cancelled_at is None) == (997, Submission.State.SURPLUS, False)
    assert surplus_canceller.run_once(limit=10) == 0


def test_of_two_jobs_the_first_that_answers_is_delivered(
    fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    fal.always("callback:lost", "hold")
    fal.script("drop_after_accept", "callback:lost", "hold")
    generation = submit_and_lose(order, work)
    first = submit_again_as_missing(generation)
    work.submit()

    callbacks.send(first)

    assert (work.until_done(generation).status, states(generation)) == (Status.COMPLETED, ["accepted", "surplus"])


def test_a_surplus_job_that_cannot_be_cancelled_now_is_tried_again(
    settings, fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost", "hold")
    generation = submit_and_lose(order, work)
    lifecycle.failed(generation, lifecycle.failure(FailureCode.SUBMISSION_UNKNOWN), actor="limn")
    callbacks.send(generation.submissions.get())
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    assert surplus_canceller.run_once(limit=10) == 0

    assert Submission.objects.to_cancel_surplus().count() == 1
