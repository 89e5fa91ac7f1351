"""A callback is processed, or a probe is accepted, while another process judges the same generation.

Case F15 of docs/failure-modes.md. The other process is let in at the question after which the first one judges.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from generations import lifecycle
from generations.fal import FalClient, Gone, Unavailable
from generations.lifecycle import ending
from generations.models import FailureCode, Generation, Phase, Status, Submission
from generations.provider import circuit_breaker
from generations.workers import reconciler, submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.clocks import just_passed
from tests.helpers.outages import let_patience_end

pytestmark = pytest.mark.django_db(transaction=True)


def late(generation: Generation) -> None:
    """fal has given no answer for longer than the patience lasts, and the deadline has passed."""
    Generation.objects.filter(pk=generation.pk).update(
        deadline_at=just_passed(), next_attempt_at=just_passed(), unanswered_since=just_passed()
    )
    let_patience_end(reconciler.VERDICT_PATIENCE)


Ask = Callable[..., list[Any]]


@pytest.fixture
def callback_comes(fal: Simulator, submitted: Submission, callbacks: CallbackSender) -> Callable[..., Ask]:
    """`callback_comes(error)` is a question to fal during which the callback is processed, and which has no answer."""
    fal.finish(str(submitted.request_id))
    late(submitted.generation)

    def ask(error: Exception | None = None) -> Ask:
        def during(*_: object, **__: object) -> list[Any]:
            assert callbacks.send(submitted) == 200
            return raised(error)

        return during

    return ask


def raised(error: Exception | None, *_: object, **__: object) -> list[Any]:
    if error is not None:
        raise error
    return []


@pytest.mark.parametrize("error", [Unavailable("silent"), RuntimeError("an error of Limn")], ids=str)
def test_f15_a_result_that_comes_while_the_status_is_asked_for_is_delivered(
    error: Exception,
    callback_comes: Callable[..., Ask],
    submitted: Submission,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FalClient, "status", callback_comes(error))

    reconciler.run_once(limit=10)

    assert work.until_done(submitted.generation).status == Status.COMPLETED


def test_f15_a_result_that_comes_while_the_record_is_read_is_delivered(
    callback_comes: Callable[..., Ask], submitted: Submission, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FalClient, "status", partial(raised, Gone("404")))
    monkeypatch.setattr(FalClient, "recorded_requests", callback_comes())

    reconciler.run_once(limit=10)

    assert work.until_done(submitted.generation).status == Status.COMPLETED


def test_without_the_check_of_the_phase_the_result_is_thrown_away(
    callback_comes: Callable[..., Ask], submitted: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""

    def failed(_: Generation, why: lifecycle.Failure, *, actor: str) -> bool:
        with transaction.atomic():
            return ending.fail(lifecycle.lock_of(submitted), why, actor=actor)

    monkeypatch.setattr(FalClient, "status", callback_comes(Unavailable("silent")))
    monkeypatch.setattr(lifecycle, "failed", failed)

    reconciler.run_once(limit=10)

    assert Generation.objects.get().status == Status.FAILED


def test_f15_a_probe_that_fal_accepts_keeps_its_generation(
    fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process sends the probe after this one has read which generations are late."""
    generation = order()
    monkeypatch.setattr(circuit_breaker, "is_open", lambda: True)
    late_ones = [Generation.objects.get()]
    monkeypatch.setattr(circuit_breaker, "refused_since_deadline", lambda: late_ones)
    submitter.submit_now(generation)

    work.submit()

    assert work.until_done(generation).status == Status.COMPLETED


def test_f15_the_refusal_of_a_second_submission_does_not_end_a_generation_that_fal_serves(
    fal: Simulator, order: PlaceOrder, callbacks: CallbackSender
) -> None:
    fal.script("drop_after_accept", "hold")
    generation = order()
    submitter.submit_now(generation)
    first = generation.submissions.get()
    assert lifecycle.not_on_record(first)
    second = lifecycle.submitting(generation)
    assert second is not None
    callbacks.send(first)

    assert not lifecycle.rejected(second, lifecycle.failure(FailureCode.INVALID_INPUT))

    generation.refresh_from_db()
    assert generation.phase == Phase.STORING
