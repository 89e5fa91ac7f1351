"""After an outage, fal is asked before anything is judged, and patience begins with the first question.

Case F14 of docs/failure-modes.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from credits.models import Account
from database import clock
from generations import lifecycle
from generations.fal import FalClient, wire
from generations.models import CircuitBreaker, FailureCode, Generation, Output, Phase, Status
from generations.provider import circuit_breaker
from generations.workers import reconciler, submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.lifecycle_facts import ANSWER, FACTS, reach_submitting
from tests.helpers.outages import let_outage_pass, let_patience_end

pytestmark = pytest.mark.django_db(transaction=True)

OUTAGES = [timedelta(minutes=20), timedelta(minutes=130), timedelta(hours=30)]
# What fal does with the submission, and how far it comes before the outage.
Stage = Callable[[PlaceOrder, Work], Generation]


def queued(order: PlaceOrder, work: Work) -> Generation:
    return order()


def sender_died(order: PlaceOrder, work: Work) -> Generation:
    generation = order()
    lifecycle.submitting(generation)
    return generation


def sent(order: PlaceOrder, work: Work) -> Generation:
    generation = order()
    work.submit()
    return generation


def storing(order: PlaceOrder, work: Work) -> Generation:
    generation = sent(order, work)
    work.until(Output.objects.exists)
    return generation


STAGES = {
    "queued": ("callback:lost", queued),
    "sender died": ("callback:lost", sender_died),
    "accepted, and its answer lost": ("drop_after_accept callback:lost", sent),
    "lost before fal had it": ("drop_before_accept", sent),
    "accepted": ("callback:lost", sent),
    "storing": ("callback:lost", storing),
}


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
@pytest.mark.parametrize("name", STAGES)
def test_f14_a_generation_completes_after_an_outage_and_is_paid_once(
    name: str, outage: timedelta, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    scenario, stage = STAGES[name]
    fal.script(*scenario.split())
    generation = stage(order, work)

    let_outage_pass(outage, fal)

    assert work.until_done(generation).status == Status.COMPLETED
    alice.refresh_from_db()
    assert (alice.balance, len(fal.log.accepted())) == (997, 1)


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_f14_a_job_that_runs_after_the_outage_is_asked_about_first(
    outage: timedelta, fal: Simulator, submitted: Generation, work: Work, callbacks: CallbackSender
) -> None:
    let_outage_pass(outage, fal)

    work.reconcile()

    generation = Generation.objects.get()
    # It is late by then, so fal is asked to cancel it; its verdict decides.
    assert (generation.phase, generation.cancel_asked_at is None) == (Phase.RUNNING, outage < timedelta(hours=1))


# --- Patience ---


def unreachable(settings) -> None:
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"


def test_f14_patience_begins_with_the_first_question_without_an_answer(
    settings, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("hold", "callback:lost")
    generation = sent(order, work)
    let_outage_pass(timedelta(hours=30), fal)
    unreachable(settings)

    work.reconcile()
    after_one_question = Generation.objects.get().status
    let_patience_end(reconciler.VERDICT_PATIENCE)
    work.reconcile()

    generation.refresh_from_db()
    assert (after_one_question, generation.failure_code) == (Status.PROCESSING, FailureCode.DEADLINE)


def test_f14_an_outage_of_limn_during_an_outage_of_fal_begins_patience_again(
    settings, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("hold", "callback:lost")
    sent(order, work)
    unreachable(settings)
    work.reconcile()
    let_outage_pass(timedelta(hours=30), fal)

    work.reconcile()

    assert Generation.objects.get().status == Status.PROCESSING


def test_f14_an_answer_ends_the_count(settings, fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("hold", "callback:lost")
    sent(order, work)
    unreachable(settings)
    work.reconcile()
    assert Generation.objects.get().unanswered_since is not None
    settings.FAL_QUEUE_URL = fal.url

    work.reconcile()

    assert Generation.objects.get().unanswered_since is None


def test_f14_an_expired_answer_is_found_in_fals_record(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("result:404", "callback:lost")
    generation = sent(order, work)
    work.until(lambda: Generation.objects.get().unanswered_since)
    let_patience_end(reconciler.GONE_PATIENCE)

    assert work.until_done(generation).status == Status.COMPLETED
    alice.refresh_from_db()
    assert alice.balance == 997


def test_a21_an_answer_of_another_request_in_the_record_is_not_delivered(
    fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record ignores the request id that it is asked for."""
    fal.script("result:404", "callback:lost")
    sent(order, work)
    work.until(lambda: Generation.objects.get().unanswered_since)
    let_patience_end(reconciler.GONE_PATIENCE)
    other = wire.RecordedRequest(request_id="another", arguments={}, texts=frozenset(), answer=ANSWER, has_ended=True)
    monkeypatch.setattr(FalClient, "recorded_requests", lambda *_, **__: [other])

    work.reconcile()

    assert Generation.objects.get().failure_code == FailureCode.RESULT_EXPIRED
    assert not Output.objects.exists()


@pytest.mark.parametrize("then", ["accepted", "lost"])
def test_f14_patience_with_refusals_is_not_patience_with_what_follows(then: str, order: PlaceOrder) -> None:
    generation = order()
    reach_submitting(generation.submissions.get())
    lifecycle.submission_refused(generation.submissions.get(), detail="busy", retry_in_seconds=0)
    assert Generation.objects.get().unanswered_since is not None
    second = lifecycle.submitting(generation)
    assert second is not None

    FACTS["submitted" if then == "accepted" else "submission_lost"](second)

    assert Generation.objects.get().unanswered_since is None


def test_f14_a_pause_that_fal_has_asked_for_is_no_outage(order: PlaceOrder) -> None:
    row, asked_at = Generation(), clock.now()
    row.record_unanswered(asked_at)
    row.unanswered_columns(3600)

    assert row.record_unanswered(asked_at + timedelta(seconds=3605)) == timedelta(seconds=3605)
    row.unanswered_columns(30)
    assert row.record_unanswered(asked_at + timedelta(hours=3)) == timedelta(0)


# --- Queued generations ---


def submit_until_patience_ends(work: Work) -> None:
    """The deadline has passed, and a submission fails before and after the time for which that is borne."""
    let_outage_pass(timedelta(minutes=130))
    work.submit()
    let_patience_end(submitter.REFUSED_SECONDS_MAX)
    work.submit()


def test_a_refusal_after_an_outage_is_no_reason_to_fail(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("status:503-bare")
    generation = order()
    let_outage_pass(timedelta(minutes=130))

    assert work.until_done(generation).status == Status.COMPLETED


def test_refusals_for_as_long_as_the_patience_after_the_deadline_fail(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.always("status:503-bare")
    generation = order()

    submit_until_patience_ends(work)

    generation.refresh_from_db()
    assert generation.failure_code == FailureCode.PROVIDER_ERROR


def test_a5_without_a_connection_fal_is_not_blamed(settings, fal: Simulator, order: PlaceOrder, work: Work) -> None:
    unreachable(settings)
    generation = order()

    submit_until_patience_ends(work)

    generation.refresh_from_db()
    assert (generation.failure_code, fal.log.posts()) == (FailureCode.INTERNAL_ERROR, [])
    assert "fal" not in generation.events.values_list("actor", flat=True)


def test_an_open_breaker_ends_no_queued_generation_before_a_probe(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    circuit_breaker.trip("locked")
    let_outage_pass(timedelta(minutes=130))
    CircuitBreaker.objects.update(refused_at=Now() - timedelta(minutes=130), probed_at=None)

    work.submit()

    assert work.until_done(generation).status == Status.COMPLETED
