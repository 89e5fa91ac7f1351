"""Attempts whose answer was lost: callback, fal's own record, deadline, in this order. Cases A2-A4, F11."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.fal import ProviderReceipt
from generations.models import FailureCode, Generation, Output, Phase, Status, Submission
from generations.provider import clients
from generations.workers import callback_inbox, surplus_canceller
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.database_guards import rejecting_inserts

pytestmark = pytest.mark.django_db(transaction=True)


def lost(order: PlaceOrder, work: Work) -> Generation:
    generation = order()
    work.submit()
    generation.refresh_from_db()
    assert generation.phase == Phase.UNKNOWN
    return generation


def minutes_pass(minutes: int) -> None:
    Submission.objects.update(sent_at=F("sent_at") - timedelta(minutes=minutes))


def states(generation: Generation) -> list[str]:
    return list(generation.submissions.order_by("number").values_list("state", flat=True))


def test_a4_a_job_that_fals_record_knows_is_adopted(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("drop_after_accept", "callback:lost")
    generation = lost(order, work)

    work.until_done(generation)

    assert (generation.status, len(fal.log.accepted()), states(generation)) == (Status.COMPLETED, 1, ["accepted"])


def test_a_job_that_fals_record_does_not_know_yet_is_waited_for(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("drop_before_accept")
    generation = lost(order, work)

    work.reconcile()

    assert states(generation) == ["unknown"]


def test_a2_a_job_that_fals_record_does_not_know_after_minutes_is_made_again(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_before_accept")
    generation = lost(order, work)
    minutes_pass(3)

    work.until_done(generation)

    assert (generation.status, states(generation)) == (Status.COMPLETED, ["missing", "accepted"])
    assert (len(fal.log.posts()), len(fal.log.accepted())) == (2, 1)


def test_a_slow_models_job_may_be_under_way_though_fals_record_does_not_show_it(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_before_accept")
    generation = order("veo3.1", prompt="a cat", duration="4s", generate_audio=False)
    work.submit()

    minutes_pass(3)
    work.reconcile()
    early = states(generation)
    minutes_pass(2)
    work.reconcile()

    assert (early, states(generation)) == (["unknown"], ["missing", "planned"])


def test_two_lost_twins_are_not_guessed_apart(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("drop_after_accept", "callback:lost")
    fal.script("drop_before_accept")
    twins = [lost(order, work), lost(order, work)]

    work.reconcile()

    assert [states(twin) for twin in twins] == [["unknown"], ["unknown"]]


def test_a_twin_whose_answer_is_on_the_way_is_not_robbed_of_its_request(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_before_accept", "hold")
    first, second = lost(order, work), order()
    attempt, ticket = posted(second)

    work.reconcile()

    assert states(first) == ["unknown"]
    assert lifecycle.submitted(attempt, ticket)
    assert states(second) == ["accepted"]


def posted(generation: Generation) -> tuple[Submission, ProviderReceipt]:
    """fal has taken it; whoever sent it has not noted that yet."""
    attempt = lifecycle.submitting(generation)
    assert attempt is not None
    sent = clients.fal().submit(generation.endpoint, generation.arguments, webhook_url="", start_timeout_seconds=60)
    return attempt, sent


def test_a_request_that_another_order_has_adopted_stumbles_nobody(
    fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_before_accept", "hold")
    first, second = lost(order, work), order()
    attempt, ticket = posted(second)
    callbacks.client.raise_request_exception = False
    with rejecting_inserts(Output):
        callbacks.send(attempt, request_id=ticket.request_id)
    assert lifecycle.submitted(first.submissions.get(), ticket)

    assert callback_inbox.catch_up(second)

    first.refresh_from_db()
    assert (first.phase, states(second)) == (Phase.STORING, ["sent"])
    assert not lifecycle.submitted(attempt, ticket)


def test_an_attempt_that_stays_unknown_is_released_in_the_end(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost")
    fal.script("drop_before_accept")
    twins = [lost(order, work), lost(order, work)]
    minutes_pass(20)

    work.reconcile()

    alice.refresh_from_db()
    assert alice.held == 0
    assert {work.until_done(twin).failure_code for twin in twins} == {FailureCode.SUBMISSION_UNKNOWN}


def test_a_job_that_is_lost_every_time_is_made_three_times_at_most(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.always("drop_before_accept")
    generation = lost(order, work)

    for _ in range(4):
        minutes_pass(3)
        work.reconcile()
        work.submit()

    assert states(generation) == ["missing", "missing", "unknown"]


def test_f11_a_first_job_that_turns_up_after_the_second_is_surplus_and_withdrawn(
    fal: Simulator, callbacks: CallbackSender, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost", "hold")
    generation = lost(order, work)
    first = generation.submissions.get()
    Submission.objects.update(state=Submission.State.MISSING)
    Generation.objects.update(phase=Phase.QUEUED)
    Submission.objects.create(generation=generation, number=2)
    work.until_done(generation)

    assert callbacks.send(first) == 200
    assert surplus_canceller.run_once(limit=10) == 1

    alice.refresh_from_db()
    first.refresh_from_db()
    assert (alice.balance, first.state, first.withdrawn_at is None) == (997, Submission.State.SURPLUS, False)
    assert surplus_canceller.run_once(limit=10) == 0


def test_of_two_jobs_the_first_to_answer_counts(
    fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    fal.always("callback:lost", "hold")
    fal.script("drop_after_accept", "callback:lost", "hold")
    generation = lost(order, work)
    first = generation.submissions.get()
    Submission.objects.update(state=Submission.State.MISSING)
    Generation.objects.update(phase=Phase.QUEUED)
    Submission.objects.create(generation=generation, number=2)
    work.submit()

    callbacks.send(first)

    assert (work.until_done(generation).status, states(generation)) == (Status.COMPLETED, ["accepted", "surplus"])


def test_a_surplus_job_that_fal_cannot_stop_now_is_tried_again(
    settings, fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost", "hold")
    generation = lost(order, work)
    Generation.objects.update(deadline_at=timezone.now())
    work.reconcile()
    callbacks.send(generation.submissions.get())
    Submission.objects.update(cancel_url=f"{fal.canary_url}/cancel")

    assert surplus_canceller.run_once(limit=10) == 0

    assert Submission.objects.to_withdraw().count() == 1
