"""The facts that are reported to the lifecycle, and how an order comes to where they can be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model

from generations import lifecycle
from generations.fal import FalClient, Reason
from generations.jobs import leases
from generations.lifecycle import StoredFile, failure
from generations.models import CancelledBy, Event, FailureCode, Generation, Output, Submission
from tests.credits.tables import all_rows

Fact = Callable[[Submission], object]

ANSWER = {"images": [{"url": "https://v3.fal.media/cat.png", "file_size": 7}], "seed": 42}
FILE = StoredFile(key="k", kind="image", content_type="image/png", size_bytes=1, sha256="s", width=4, height=2)
NO = failure(FailureCode.PROVIDER_ERROR, detail="no")
ERROR = Reason(code="content_policy", retryable=False, errors=[{"loc": ["prompt"]}], detail="rude")
FAL = FalClient(key="k", queue_url="http://127.0.0.1:9")
TABLES: tuple[type[Model], ...] = (Generation, Submission, Output, Event)


def rows() -> list[list[Any]]:
    """All there is, to be compared."""
    return [*all_rows(), *(list(table._default_manager.order_by("pk").values_list()) for table in TABLES)]


# --- Where an order stands ---


def queued(attempt: Submission) -> None:
    """As it was ordered."""


def sent(attempt: Submission) -> None:
    lifecycle.submitting(attempt.generation)


def unknown(attempt: Submission) -> None:
    sent(attempt)
    lifecycle.submission_lost(attempt, detail="")


def waiting(attempt: Submission) -> None:
    sent(attempt)
    lifecycle.submitted(attempt, FAL.receipt_for("fal-ai/flux/schnell", f"first {attempt.pk}"))


def running(attempt: Submission) -> None:
    waiting(attempt)
    lifecycle.progressed(attempt.generation, running=True)


def storing(attempt: Submission) -> None:
    waiting(attempt)
    lifecycle.answered(attempt, ANSWER)
    leases.claim(Output.objects.filter(generation=attempt.generation), limit=1, seconds=30)


def ended(attempt: Submission) -> None:
    waiting(attempt)
    lifecycle.failed(attempt.generation, NO, actor="test")


PLACES = (queued, sent, unknown, waiting, running, storing, ended)


# --- What is reported ---


def receipt(attempt: Submission) -> bool:
    return lifecycle.submitted(attempt, FAL.receipt_for("fal-ai/flux/schnell", "job"))


def answered_nothing(attempt: Submission) -> bool:
    return lifecycle.answered(attempt, {"seed": 7})


def in_queue(attempt: Submission) -> bool:
    return lifecycle.progressed(attempt.generation, running=False, position=4)


def at_work(attempt: Submission) -> bool:
    return lifecycle.progressed(attempt.generation, running=True, line="denoising 40 %")


def stored(attempt: Submission) -> bool:
    return lifecycle.stored(Output.objects.get(generation=attempt.generation), FILE)


def lost(attempt: Submission) -> bool:
    return lifecycle.output_lost(Output.objects.get(generation=attempt.generation), detail="gone")


def cancel(attempt: Submission) -> bool:
    """Whether that changed anything."""
    before = Generation.objects.get(pk=attempt.generation_id).version
    lifecycle.cancel_asked(attempt.generation, by=CancelledBy.CUSTOMER, actor="user:alice")
    return Generation.objects.get(pk=attempt.generation_id).version > before


FACTS: dict[str, Fact] = {
    "submitting": lambda attempt: lifecycle.submitting(attempt.generation) is not None,
    "submitted": receipt,
    "submission lost": lambda attempt: lifecycle.submission_lost(attempt, detail="reset"),
    "not taken": lambda attempt: lifecycle.submission_refused(attempt, detail="busy", retry_in_seconds=60),
    "not on record": lifecycle.not_on_record,
    "rejected": lambda attempt: lifecycle.rejected(attempt, NO),
    "in queue": in_queue,
    "at work": at_work,
    "answered": lambda attempt: lifecycle.answered(attempt, ANSWER),
    "answered nothing": answered_nothing,
    "answered an error": lambda attempt: lifecycle.answered_error(attempt, ERROR),
    "failed": lambda attempt: lifecycle.failed(attempt.generation, NO, actor="test"),
    "given up": lambda attempt: lifecycle.give_up(attempt.generation, detail="it kills"),
    "cancelled": lambda attempt: lifecycle.cancelled(attempt.generation),
    "cancel asked": cancel,
    "cancel sent": lambda attempt: lifecycle.cancel_sent(attempt.generation),
}
OF_FILES: dict[str, Fact] = {"stored": stored, "lost": lost}
