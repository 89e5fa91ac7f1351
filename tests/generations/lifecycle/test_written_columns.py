"""What each fact writes: which columns of the generation, its submissions and outputs, and which event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db.models import Model

from database import clock
from generations import lifecycle
from generations.models import Event, Generation, Output, Phase, Submission
from tests.fixtures.orders import PlaceOrder
from tests.helpers.lifecycle_facts import ANSWER, FACTS, FILE_FACTS, REACH, Fact, reach_waiting

pytestmark = pytest.mark.django_db

# The package has a function of the same name.
submitting = import_module("generations.lifecycle.submitting")
NOW, LATER = "now", "later"
# Later is at least 20 s after the fact, and now at most this long after its beginning.
NOW_SECONDS_MAX = 10

# --- Columns that several facts write ---


def prefixed(table: str, **columns: Any) -> dict[str, Any]:
    return {f"{table}.{name}": value for name, value in columns.items()}


def generation(**columns: Any) -> dict[str, Any]:
    return prefixed("generation", **columns)


def submission(**columns: Any) -> dict[str, Any]:
    return prefixed("submission", **columns)


def output(**columns: Any) -> dict[str, Any]:
    return prefixed("output", **columns)


PROVIDER_ERROR = "The provider failed to generate this."
CONTENT_REFUSED = "The provider's content policy refused this. Change the prompt or the image."
OUR_ERROR = "An error of this service prevented it. The operator has been notified."
NOT_COPIED = "The result could not be copied into storage."
FAILED = generation(
    status="failed",
    phase="done",
    released=3,
    finished_at=NOW,
    next_attempt_at=None,
    retryable=True,
    failure_code="provider_error",
    failure_message=PROVIDER_ERROR,
    rule="provider_failed",
)
# While files are copied, the outputs are due and the generation is not.
FAILED_WHILE_STORING = {name: value for name, value in FAILED.items() if name != "generation.next_attempt_at"}
NEXT_SUBMISSION = prefixed("submission 2", number=2, state="planned", units_due_at=NOW)
REQUEST_URL = "http://127.0.0.1:9/fal-ai/flux/requests/job"
RECEIPT = {
    "request_id": "job",
    "answered_at": NOW,
    "status_url": f"{REQUEST_URL}/status",
    "response_url": REQUEST_URL,
    "cancel_url": f"{REQUEST_URL}/cancel",
}

# --- What each fact writes ---

EventColumns = tuple[str, str, str, str, int, int]
"""Fact, actor, note, staff note, change of the held credits, change of the balance."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a fact writes in a generation that is in this phase."""

    phase: Phase
    fact: Fact
    columns: dict[str, Any]
    event: EventColumns | None = None


WRITTEN = {
    "submitting": Written(
        phase=Phase.QUEUED,
        fact=FACTS["submitting"],
        columns=generation(phase="submitting", next_attempt_at=LATER) | submission(state="sent", sent_at=NOW),
        event=("submitting", "limn", "", "", 0, 0),
    ),
    "submitted": Written(
        phase=Phase.SUBMITTING,
        fact=FACTS["submitted"],
        columns=generation(
            phase="waiting", status="processing", submitted_at=NOW, next_attempt_at=LATER, deadline_at=LATER
        )
        | submission(state="accepted", **RECEIPT),
        event=("submitted", "fal", "", "request job", 0, 0),
    ),
    "submitted, surplus": Written(
        phase=Phase.DONE,
        fact=FACTS["submitted"],
        columns=prefixed("submission 2", number=2, state="surplus", units_due_at=NOW, **RECEIPT),
        event=("surplus", "fal", "", "request job is paid by the operator", 0, 0),
    ),
    "submission_lost": Written(
        phase=Phase.SUBMITTING,
        fact=FACTS["submission_lost"],
        columns=generation(phase="unknown", next_attempt_at=LATER) | submission(state="unknown", detail="reset"),
        event=("submission_lost", "limn", "", "reset", 0, 0),
    ),
    "submission_refused": Written(
        phase=Phase.SUBMITTING,
        fact=FACTS["submission_refused"],
        columns=generation(phase="queued", next_attempt_at=LATER, unanswered_since=NOW, unanswered_until=LATER)
        | submission(state="refused", detail="busy", answered_at=NOW)
        | NEXT_SUBMISSION,
        event=("not_taken", "fal", "", "busy", 0, 0),
    ),
    "not_on_record": Written(
        phase=Phase.UNKNOWN,
        fact=FACTS["not_on_record"],
        columns=generation(phase="queued", next_attempt_at=NOW) | submission(state="missing") | NEXT_SUBMISSION,
        event=("not_on_record", "fal", "", "", 0, 0),
    ),
    "rejected": Written(
        phase=Phase.SUBMITTING,
        fact=FACTS["rejected"],
        columns=FAILED | submission(state="refused", detail="no", answered_at=NOW),
        event=("failed", "fal", PROVIDER_ERROR, "no", -3, 0),
    ),
    "progressed back to the queue": Written(
        phase=Phase.RUNNING,
        fact=FACTS["progressed: waiting"],
        columns=generation(phase="waiting", queue_position=4),
        event=("progressed", "fal", "", "", 0, 0),
    ),
    "progressed to running": Written(
        phase=Phase.WAITING,
        fact=FACTS["progressed: running"],
        columns=generation(phase="running", percent=40, message="denoising 40 %"),
        event=("progressed", "fal", "", "", 0, 0),
    ),
    "progressed while running": Written(
        phase=Phase.RUNNING,
        fact=FACTS["progressed: running"],
        columns=generation(percent=40, message="denoising 40 %"),
    ),
    "progressed after the end": Written(phase=Phase.DONE, fact=FACTS["progressed: running"], columns={}),
    "answered": Written(
        phase=Phase.RUNNING,
        fact=FACTS["answered"],
        columns=generation(
            phase="storing", message="Copying 1 file", answered_at=NOW, next_attempt_at=None, details={"seed": 42}
        )
        | output(role="images[0]", counts=True, source_url="https://v3.fal.media/cat.png", claimed_size_bytes=7)
        | output(state="pending", next_attempt_at=NOW, give_up_at=LATER),
        event=("answered", "fal", "Copying 1 file", "", 0, 0),
    ),
    "answered without a file": Written(
        phase=Phase.RUNNING,
        fact=FACTS["answered: no file"],
        columns=FAILED,
        event=("failed", "fal", PROVIDER_ERROR, "an answer without a file", -3, 0),
    ),
    "answered_error": Written(
        phase=Phase.RUNNING,
        fact=FACTS["answered_error"],
        columns={name: value for name, value in FAILED.items() if name != "generation.retryable"}
        | generation(failure_code="content_policy", failure_message=CONTENT_REFUSED, rule="content_policy")
        | generation(failure_errors=[{"loc": ["prompt"]}]),
        event=("failed", "fal", CONTENT_REFUSED, "rude", -3, 0),
    ),
    "failed while storing": Written(
        phase=Phase.STORING,
        fact=FACTS["failed"],
        columns=FAILED_WHILE_STORING | generation(message="") | output(state="lost", next_attempt_at=None),
        event=("failed", "test", PROVIDER_ERROR, "no", -3, 0),
    ),
    "give_up while queued": Written(
        phase=Phase.QUEUED,
        fact=FACTS["give_up"],
        columns=FAILED | generation(failure_code="internal_error", failure_message=OUR_ERROR, rule="our_error"),
        event=("failed", "limn", OUR_ERROR, "it crashes workers", -3, 0),
    ),
    "give_up while fal may be working on it": Written(
        phase=Phase.WAITING,
        fact=FACTS["give_up"],
        columns={},
        event=("stuck", "limn", "", "it crashes workers", 0, 0),
    ),
    "cancelled, though it was not requested": Written(
        phase=Phase.RUNNING,
        fact=FACTS["cancelled"],
        columns=FAILED,
        event=("failed", "fal", PROVIDER_ERROR, "", -3, 0),
    ),
    "cancel_asked while waiting": Written(
        phase=Phase.WAITING,
        fact=FACTS["cancel_asked"],
        columns=generation(cancel_asked_at=NOW, cancel_asked_by="customer", next_attempt_at=NOW),
        event=("cancel_asked", "user:alice", "", "", 0, 0),
    ),
    "cancel_asked while queued": Written(
        phase=Phase.QUEUED,
        fact=FACTS["cancel_asked"],
        columns=FAILED | generation(failure_code="cancelled", failure_message="Cancelled.", rule="cancelled_queued"),
        event=("failed", "user:alice", "Cancelled.", "", -3, 0),
    ),
    "cancel_sent": Written(phase=Phase.WAITING, fact=FACTS["cancel_sent"], columns=generation(cancel_sent_at=NOW)),
    "surplus_cancelled": Written(
        phase=Phase.WAITING, fact=lifecycle.surplus_cancelled, columns=submission(surplus_cancelled_at=NOW)
    ),
    "stored": Written(
        phase=Phase.STORING,
        fact=FILE_FACTS["stored"],
        columns=generation(status="completed", phase="done", message="", captured=3, finished_at=NOW, rule="delivered")
        | output(state="stored", key="k", kind="image", content_type="image/png", size_bytes=1)
        | output(sha256="s", width=4, height=2, stored_at=NOW, next_attempt_at=None),
        event=("completed", "limn", "", "", -3, -3),
    ),
    "output_lost": Written(
        phase=Phase.STORING,
        fact=FILE_FACTS["output_lost"],
        columns=FAILED_WHILE_STORING
        | generation(message="", failure_code="copy_failed", failure_message=NOT_COPIED, rule="not_stored")
        | output(state="lost", detail="gone", next_attempt_at=None),
        event=("failed", "limn", NOT_COPIED, "gone", -3, 0),
    ),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_a_fact_writes_these_columns_of_one_generation_and_nothing_else(
    written: Written, order: PlaceOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than NOW_SECONDS_MAX.
    monkeypatch.setattr(submitting, "FIRST_POLL_SECONDS", 600)
    reported, unrelated = order().submissions.get(), order().submissions.get()
    # The newest submission of all belongs to the other generation.
    Submission.objects.filter(pk=unrelated.pk).update(number=5)
    REACH[written.phase](reported), REACH[written.phase](unrelated)
    before, unrelated_before, events_before = columns_of(reported), columns_of(unrelated), events_of(reported)

    started = clock.now()
    written.fact(reported)

    assert changes(before, columns_of(reported), started) == written.columns
    assert columns_of(unrelated) == unrelated_before
    assert events_of(reported) == events_before + ([] if written.event is None else [written.event])


def columns_of(submission: Submission) -> dict[str, Any]:
    """Every column of the generation, its submissions and outputs, as "submission 2.state"."""
    tables: list[tuple[type[Model], str]] = [(Generation, "pk"), (Submission, "generation"), (Output, "generation")]
    columns: dict[str, Any] = {}
    for table, key in tables:
        rows = table._default_manager.filter(**{key: submission.generation_id}).order_by("pk")
        for number, row in enumerate(rows, 1):
            name = f"{table.__name__.lower()}{f' {number}' if number > 1 else ''}"
            columns |= {f"{name}.{field.attname}": getattr(row, field.attname) for field in row._meta.concrete_fields}
    return columns


# The columns of a new row that say nothing about the fact.
IDENTITY = ("id", "generation_id", "token", "seed", "created_at")


def changes(before: dict[str, Any], after: dict[str, Any], started: datetime) -> dict[str, Any]:
    """The columns that have changed. Checks that the version has risen by one if the generation has changed.

    Empty columns of new rows are left out. Times become NOW or LATER.
    """
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    risen = changed.pop("generation.version", before["generation.version"]) - before["generation.version"]
    assert risen == any(name.startswith("generation.") for name in changed)

    now_ends = started + timedelta(seconds=NOW_SECONDS_MAX)
    times = {name: LATER if value > now_ends else NOW for name, value in changed.items() if isinstance(value, datetime)}
    return {
        name: times.get(name, value)
        for name, value in changed.items()
        if name in before or (value and name.rpartition(".")[2] not in IDENTITY)
    }


def events_of(submission: Submission) -> list[EventColumns]:
    """The timeline. Checks that the newest event carries the generation's current state."""
    events = Event.objects.filter(generation=submission.generation_id).order_by("pk")
    if newest := events.last():
        now = Generation.objects.get(pk=submission.generation_id)
        assert (newest.status, newest.phase, newest.version <= now.version) == (now.status, now.phase, True)
    return [(e.fact, e.actor, e.note, e.staff_note, e.held_change, e.balance_change) for e in events]


# --- Progress while files are copied ---


@pytest.mark.parametrize("files, message", [(1, "Copying 1 file"), (2, "Copying 2 files")])
def test_the_message_says_how_many_files_are_copied(files: int, message: str, order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_waiting(submission)

    lifecycle.answered(submission, {"images": [{"url": f"https://v3.fal.media/{n}.png"} for n in range(files)]})

    assert Generation.objects.get().message == message


def test_an_answer_clears_the_queue_position_and_the_percentage(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_waiting(submission)
    Generation.objects.update(queue_position=4, percent=40)

    lifecycle.answered(submission, ANSWER)

    assert Generation.objects.values_list("queue_position", "percent").get() == (None, None)
