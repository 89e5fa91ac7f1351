"""The reconciler: fal is asked about generations whose callback does not come, and deadlines are enforced.

Case ids: docs/failure-modes.md, groups A and F.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from credits.models import Account
from database import clock
from generations.models import FailureCode, Generation, Phase, Status, Submission
from generations.workers import reconciler
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.outages import let_patience_end
from tests.helpers.scripted_servers import Connection, respond, serving
from tests.services.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def generation_of(submission: Submission) -> Generation:
    return Generation.objects.get(pk=submission.generation_id)


# --- Polling ---


def test_f1_a_generation_whose_callback_is_lost_completes(
    fal: Simulator, callbacks: CallbackSender, submitted: Submission, work: Work
) -> None:
    fal.finish(callbacks.request_id(submitted))

    assert work.until_done(submitted.generation).status == Status.COMPLETED


def test_f1_an_old_generation_is_polled_at_least_every_30_seconds(submitted: Submission, work: Work) -> None:
    started = clock.now()
    Generation.objects.update(submitted_at=started - timedelta(hours=3))

    work.reconcile()

    due = generation_of(submitted).next_attempt_at
    assert due is not None
    assert due - started > timedelta(seconds=1)
    assert due - clock.now() <= timedelta(seconds=reconciler.POLL_SECONDS_MAX)


def test_a_poll_that_reports_nothing_new_does_not_raise_the_version(submitted: Submission, work: Work) -> None:
    work.until(lambda: generation_of(submitted).phase == Phase.RUNNING)
    work.reconcile()
    version = generation_of(submitted).version

    work.reconcile()

    assert generation_of(submitted).version == version


def test_a_request_that_fal_puts_back_into_its_queue_completes(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("poll:back_to_queue", "callback:lost")

    assert work.until_done(order()).status == Status.COMPLETED


def test_a_generation_never_fails_by_age_while_fal_reports_it_as_running(submitted: Submission, work: Work) -> None:
    Generation.objects.update(created_at=timezone.now() - timedelta(days=2))

    work.reconcile()

    assert generation_of(submitted).status == Status.PROCESSING


def test_f7_an_undocumented_status_changes_nothing(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("poll:unknown", "hold")
    generation = order()
    work.submit()

    work.reconcile()

    generation.refresh_from_db()
    assert generation.phase == Phase.WAITING


def test_f8_a_generation_waits_while_fal_is_unreachable(settings, submitted: Submission, work: Work) -> None:
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    work.reconcile()

    assert generation_of(submitted).phase == Phase.WAITING


def test_the_key_is_not_sent_to_a_stored_url_of_another_host(fal: Simulator, submitted: Submission, work: Work) -> None:
    """fal is asked at the URL that Limn builds itself."""
    Submission.objects.update(status_url=f"{fal.canary_url}/status")

    work.reconcile()

    assert fal.log.visits() == []
    assert generation_of(submitted).phase == Phase.RUNNING


# --- Results ---


def test_f6_a_completed_status_with_an_error_is_a_failure(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("result:completed_with_error", "callback:lost")

    assert work.until_done(order()).status == Status.FAILED


def failed_with_a_result(connection: Connection) -> None:
    """fal's queue, which has an error in each status and a file in each result."""
    is_status = b"/status" in connection.request
    answer = {"status": "COMPLETED", "error": "failed"} if is_status else {"images": [{"url": "http://127.0.0.1:9/a"}]}
    respond("200 OK", body=json.dumps(answer).encode())(connection)


def test_f6_an_error_in_the_status_counts_although_there_is_a_result(
    settings, submitted: Submission, work: Work
) -> None:
    with serving(failed_with_a_result) as server:
        settings.FAL_QUEUE_URL = server.url
        work.reconcile()

    assert generation_of(submitted).status == Status.FAILED


def test_a_gateway_error_instead_of_the_result_is_not_a_verdict(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("result:504", "callback:lost")

    assert work.until_done(order()).status == Status.COMPLETED


def test_a_failure_names_the_input_that_the_model_refused(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("fail:image_too_small", "callback:lost")

    generation = work.until_done(order())

    assert generation.failure_code == FailureCode.INVALID_INPUT
    assert generation.failure_errors[0]["type"] == "image_too_small"


# --- Requests and results that fal has deleted ---


def forget_payloads(fal: Simulator) -> None:
    """Deletes the answer from fal's record, too, once the job has ended."""
    until(lambda: fal.log.accepted()[0].completed_at is not None)
    fal.log.delete_payloads(fal.log.accepted()[0].request_id)


def test_f2_a_young_request_that_fal_does_not_know_stays_waiting(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    """fal's status may lag behind its receipt."""
    fal.script("poll:404", "hold")
    generation = order()
    work.submit()

    work.reconcile()

    generation.refresh_from_db()
    assert generation.phase == Phase.WAITING


def test_f2_a_request_that_fal_does_not_know_for_minutes_fails_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("poll:404", "callback:lost")
    generation = order()
    work.submit()
    work.until(lambda: Generation.objects.get().unanswered_since)
    forget_payloads(fal)
    work.reconcile()
    assert Generation.objects.get().phase == Phase.WAITING
    let_patience_end(reconciler.GONE_PATIENCE)

    work.reconcile()

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.held) == (FailureCode.RESULT_EXPIRED, 0)


@pytest.mark.parametrize("fault", ["result:404", "result:410"])
def test_f3_a_result_that_has_expired_fails_and_costs_nothing(
    fault: str, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault, "callback:lost")
    generation = order()
    work.submit()
    work.until(lambda: Generation.objects.get().unanswered_since)
    forget_payloads(fal)
    let_patience_end(reconciler.GONE_PATIENCE)

    work.until_done(generation)

    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.RESULT_EXPIRED, 1000, 0)


# --- Deadlines ---


PastDeadline = Callable[..., Generation]


@pytest.fixture
def past_deadline(fal: Simulator, order: PlaceOrder, work: Work) -> PastDeadline:
    """`past_deadline("cancel:cancelled")`: a generation at fal after its deadline; fal cancels it in this way."""

    def place(scenario: str, *, passed: timedelta = timedelta(seconds=1)) -> Generation:
        fal.script("hold", scenario, "callback:lost")
        generation = order()
        work.submit()
        Generation.objects.update(deadline_at=timezone.now() - passed)
        return generation

    return place


def test_a25_at_the_deadline_fal_is_asked_to_cancel_and_its_verdict_counts(
    past_deadline: PastDeadline, alice: Account, work: Work
) -> None:
    generation = work.until_done(past_deadline("cancel:cancelled"))

    alice.refresh_from_db()
    assert (generation.failure_code, alice.held, alice.balance) == (FailureCode.DEADLINE, 0, 1000)


def test_a25_a_result_that_comes_after_the_deadline_is_delivered_and_charged(
    past_deadline: PastDeadline, fal: Simulator, callbacks: CallbackSender, alice: Account, work: Work
) -> None:
    generation = past_deadline("cancel:completes_anyway")
    work.reconcile()
    work.reconcile()
    fal.finish(callbacks.request_id(generation.submissions.get()))

    assert work.until_done(generation).status == Status.COMPLETED
    alice.refresh_from_db()
    assert alice.balance == 997


def test_without_a_verdict_an_hour_after_the_cancellation_it_fails_and_costs_nothing(
    past_deadline: PastDeadline, alice: Account, work: Work
) -> None:
    generation = past_deadline("cancel:completes_anyway", passed=timedelta(hours=2))
    work.reconcile()
    assert Generation.objects.get().status == Status.PROCESSING
    Generation.objects.update(cancel_sent_at=timezone.now() - reconciler.VERDICT_PATIENCE)

    work.reconcile()

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.held) == (FailureCode.DEADLINE, 0)
