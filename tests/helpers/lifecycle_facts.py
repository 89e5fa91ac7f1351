"""Reports facts to the lifecycle, without workers and without fal.

The `reach_…` functions bring a queued order into a phase. FACTS and FILE_FACTS hold every fact that can be reported.
All of them take the first submission of the order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model

from generations import lifecycle
from generations.fal import FalClient, Reason
from generations.jobs import leases
from generations.lifecycle import StoredFile, failure
from generations.models import CancelledBy, Event, FailureCode, Generation, Output, Phase, Submission
from tests.credits.tables import all_rows

Fact = Callable[[Submission], object]

ANSWER = {"images": [{"url": "https://v3.fal.media/cat.png", "file_size": 7}], "seed": 42}
FILE = StoredFile(key="k", kind="image", content_type="image/png", size_bytes=1, sha256="s", width=4, height=2)
FAILURE = failure(FailureCode.PROVIDER_ERROR, detail="no")
CONTENT_REFUSED = Reason(code="content_policy", retryable=False, errors=[{"loc": ["prompt"]}], detail="rude")
FAL = FalClient(key="k", queue_url="http://127.0.0.1:9")
TABLES: tuple[type[Model], ...] = (Generation, Submission, Output, Event)


def rows() -> list[list[Any]]:
    """Every row of the ledger and of the lifecycle's tables, to compare before and after."""
    return [*all_rows(), *(list(table._default_manager.order_by("pk").values_list()) for table in TABLES)]


# --- Phases ---


def reach_queued(submission: Submission) -> None:
    """Changes nothing: a new order is queued."""


def reach_submitting(submission: Submission) -> None:
    lifecycle.submitting(submission.generation)


def reach_unknown(submission: Submission) -> None:
    reach_submitting(submission)
    lifecycle.submission_lost(submission, detail="")


def reach_waiting(submission: Submission) -> None:
    reach_submitting(submission)
    lifecycle.submitted(submission, FAL.receipt_for("fal-ai/flux/schnell", f"first {submission.pk}"))


def reach_running(submission: Submission) -> None:
    reach_waiting(submission)
    lifecycle.progressed(submission.generation, running=True)


def reach_storing(submission: Submission) -> None:
    """Also leases the output, as a copier does."""
    reach_waiting(submission)
    lifecycle.answered(submission, ANSWER)
    leases.claim(Output.objects.filter(generation=submission.generation), limit=1, seconds=30)


def now_of(submission: Submission) -> Generation:
    """The generation as it is now: who judges it has just read it."""
    return Generation.objects.get(pk=submission.generation_id)


def reach_done(submission: Submission) -> None:
    """The generation fails."""
    reach_waiting(submission)
    lifecycle.failed(now_of(submission), FAILURE, actor="test")


REACH: dict[Phase, Fact] = {
    Phase.QUEUED: reach_queued,
    Phase.SUBMITTING: reach_submitting,
    Phase.UNKNOWN: reach_unknown,
    Phase.WAITING: reach_waiting,
    Phase.RUNNING: reach_running,
    Phase.STORING: reach_storing,
    Phase.DONE: reach_done,
}


# --- Facts ---


def submitted(submission: Submission) -> bool:
    return lifecycle.submitted(submission, FAL.receipt_for("fal-ai/flux/schnell", "job"))


def waiting_in_fals_queue(submission: Submission) -> bool:
    return lifecycle.progressed(submission.generation, running=False, position=4)


def running_at_fal(submission: Submission) -> bool:
    return lifecycle.progressed(submission.generation, running=True, line="denoising 40 %")


def cancel_asked(submission: Submission) -> bool:
    """Returns whether the request changed the generation, as the other facts do."""
    before = Generation.objects.get(pk=submission.generation_id).version
    lifecycle.cancel_asked(submission.generation, by=CancelledBy.CUSTOMER, actor="user:alice")
    return Generation.objects.get(pk=submission.generation_id).version > before


def stored(submission: Submission) -> bool:
    return lifecycle.stored(Output.objects.get(generation=submission.generation), FILE)


def output_lost(submission: Submission) -> bool:
    return lifecycle.output_lost(Output.objects.get(generation=submission.generation), detail="gone")


FACTS: dict[str, Fact] = {
    "submitting": lambda submission: lifecycle.submitting(submission.generation) is not None,
    "submitted": submitted,
    "submission_lost": lambda submission: lifecycle.submission_lost(submission, detail="reset"),
    "submission_refused": lambda submission: lifecycle.submission_refused(
        submission, detail="busy", retry_in_seconds=60
    ),
    "not_on_record": lifecycle.not_on_record,
    "rejected": lambda submission: lifecycle.rejected(submission, FAILURE),
    "progressed: waiting": waiting_in_fals_queue,
    "progressed: running": running_at_fal,
    "answered": lambda submission: lifecycle.answered(submission, ANSWER),
    "answered: no file": lambda submission: lifecycle.answered(submission, {"seed": 7}),
    "answered_error": lambda submission: lifecycle.answered_error(submission, CONTENT_REFUSED),
    "failed": lambda submission: lifecycle.failed(now_of(submission), FAILURE, actor="test"),
    "give_up": lambda submission: lifecycle.give_up(now_of(submission), detail="it crashes workers"),
    "cancelled": lambda submission: lifecycle.cancelled(submission.generation),
    "cancel_asked": cancel_asked,
    "cancel_sent": lambda submission: lifecycle.cancel_sent(submission.generation),
}
FILE_FACTS: dict[str, Fact] = {"stored": stored, "output_lost": output_lost}
