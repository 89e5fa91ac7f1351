"""The reconciler polls fal. Case ids: docs/failure-modes.md, groups A and F."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from credits.models import Account
from generations.models import FailureCode, Generation, Phase, Status, Submission
from generations.workers import reconciler
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender

pytestmark = pytest.mark.django_db(transaction=True)


def reload(submission: Submission) -> Generation:
    return Generation.objects.get(pk=submission.generation_id)


def at_its_deadline() -> None:
    Generation.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))


def test_f1_a_lost_callback_costs_seconds_not_a_picture(
    fal: Simulator, callbacks: CallbackSender, submitted: Submission, work: Work
) -> None:
    fal.finish(callbacks.request_id(submitted))

    assert work.until_done(submitted.generation).status == Status.COMPLETED


def test_f1_the_time_between_two_looks_is_bounded(fal: Simulator, submitted: Submission, work: Work) -> None:
    Generation.objects.update(submitted_at=timezone.now() - timedelta(hours=3))

    work.reconcile()

    due = reload(submitted).next_attempt_at
    assert due is not None
    wait = due - timezone.now()
    assert timedelta(seconds=1) < wait <= timedelta(seconds=reconciler.POLL_SECONDS_MAX)


def test_f2_an_unknown_request_is_not_final_while_it_is_young(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("poll:404", "hold")
    generation = order()
    work.submit()

    work.reconcile()

    generation.refresh_from_db()
    assert generation.phase == Phase.WAITING


def test_f2_an_unknown_request_that_is_old_fails_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("poll:404", "hold", "callback:lost")
    generation = order()
    work.submit()
    Submission.objects.update(answered_at=timezone.now() - timedelta(hours=1))

    work.reconcile()

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.held) == (FailureCode.RESULT_EXPIRED, 0)


@pytest.mark.parametrize("fault", ["result:404", "result:410"])
def test_f3_a_result_that_expired_fails_and_costs_nothing(
    fault: str, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault, "callback:lost")
    generation = order()
    work.submit()
    Submission.objects.update(answered_at=timezone.now() - timedelta(hours=1))

    work.until_done(generation)

    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.RESULT_EXPIRED, 1000, 0)


def test_f6_completed_with_an_error_is_an_error(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("result:completed_with_error", "callback:lost")

    assert work.until_done(order()).status == Status.FAILED


def test_f6_an_error_in_the_status_counts_though_there_is_a_result(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    good = work.until_done(order()).submissions.get()
    fal.script("result:completed_with_error", "callback:lost")
    generation = order()
    work.submit()
    generation.submissions.update(response_url=good.response_url)

    assert work.until_done(generation).status == Status.FAILED


def test_f7_a_status_word_that_nobody_documented_changes_nothing(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("poll:unknown", "hold")
    generation = order()
    work.submit()

    work.reconcile()

    generation.refresh_from_db()
    assert generation.phase == Phase.WAITING


def test_a_gateway_error_for_the_result_is_not_the_verdict(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("result:504", "callback:lost")

    assert work.until_done(order()).status == Status.COMPLETED


def test_an_input_that_the_model_refused_is_named(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("fail:image_too_small", "callback:lost")

    generation = work.until_done(order())

    assert generation.failure_code == FailureCode.INVALID_INPUT
    assert generation.failure_errors[0]["type"] == "image_too_small"


def test_f8_while_fal_is_away_nothing_is_lost(settings, fal: Simulator, submitted: Submission, work: Work) -> None:
    Submission.objects.update(status_url="http://127.0.0.1:9/x/status")
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    work.reconcile()

    assert reload(submitted).phase == Phase.WAITING


def test_our_key_is_never_sent_to_a_foreign_address_on_record(
    fal: Simulator, submitted: Submission, work: Work
) -> None:
    Submission.objects.update(status_url=f"{fal.canary_url}/status")

    work.reconcile()

    assert fal.log.visits() == []
    assert reload(submitted).phase == Phase.WAITING


def test_nothing_fails_by_age_while_fal_says_it_is_running(fal: Simulator, submitted: Submission, work: Work) -> None:
    Generation.objects.update(created_at=timezone.now() - timedelta(days=2))

    work.reconcile()

    assert reload(submitted).status == Status.PROCESSING


def test_a25_at_the_deadline_fal_is_asked_to_cancel_and_its_verdict_settles(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("hold", "cancel:cancelled", "callback:lost")
    generation = order()
    work.submit()
    at_its_deadline()

    work.until_done(generation)

    alice.refresh_from_db()
    assert (generation.failure_code, alice.held, alice.balance) == (FailureCode.DEADLINE, 0, 1000)


def test_a25_a_result_that_comes_after_all_is_delivered_and_paid(
    fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work
) -> None:
    fal.script("hold", "cancel:completes_anyway", "callback:lost")
    generation = order()
    work.submit()
    at_its_deadline()
    work.reconcile()
    fal.finish(callbacks.request_id(generation.submissions.get()))

    assert work.until_done(generation).status == Status.COMPLETED


def test_without_any_verdict_an_hour_past_the_deadline_it_fails_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("hold", "cancel:completes_anyway", "callback:lost")
    generation = order()
    work.submit()
    Generation.objects.update(deadline_at=timezone.now() - timedelta(hours=2))

    work.reconcile()

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.held) == (FailureCode.DEADLINE, 0)


def test_a_request_that_goes_back_to_the_queue_is_waiting_again(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("poll:back_to_queue", "callback:lost")
    phases = []
    generation = order()

    def done() -> bool:
        generation.refresh_from_db()
        phases.append(generation.phase)
        return generation.is_done

    work.until(done)

    assert generation.status == Status.COMPLETED


def test_progress_that_is_no_news_raises_no_version(fal: Simulator, submitted: Submission, work: Work) -> None:
    work.until(lambda: reload(submitted).phase == Phase.RUNNING)
    work.reconcile()
    version = reload(submitted).version

    work.reconcile()

    assert reload(submitted).version == version
