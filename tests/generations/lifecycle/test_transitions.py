"""Each fact by itself: where it may be told, what it writes, and that it writes that to one order alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import Model
from django.utils import timezone

from generations import lifecycle
from generations.fal import Reason
from generations.models import CancelledBy, Event, FailureCode, Generation, Output, Phase, Submission
from tests.fixtures.orders import Ordering
from tests.helpers import lifecycle_facts
from tests.helpers.lifecycle_facts import FACTS, OF_FILES, PLACES, Fact, ended, queued, running, sent, storing, waiting

pytestmark = pytest.mark.django_db

# --- Where it may be told ---

WITH_FAL = "sent unknown waiting running"
MOVES = {
    "submitting": "queued",
    "submitted": "queued sent unknown",
    "submission lost": "sent",
    "not taken": "sent",
    "not on record": "unknown",
    "rejected": "sent",
    "in queue": WITH_FAL,
    "at work": WITH_FAL,
    "answered": f"queued {WITH_FAL}",
    "answered nothing": f"queued {WITH_FAL}",
    "answered an error": f"queued {WITH_FAL}",
    "failed": f"queued {WITH_FAL} storing",
    "given up": "queued",
    "cancelled": f"queued {WITH_FAL}",
    "cancel asked": f"queued {WITH_FAL}",
    "cancel sent": f"queued {WITH_FAL} storing",
}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("name", MOVES)
def test_a_fact_moves_an_order_from_certain_places_only(name: str, place: Fact, order: Ordering) -> None:
    attempt = order().submissions.get()
    place(attempt)
    before = Generation.objects.values().get()

    moved = FACTS[name](attempt)

    assert moved is (place.__name__ in MOVES[name].split())
    assert (Generation.objects.values().get() != before) is moved


# --- What it writes ---

SOON, LATER = "now", "later"
FAILED = {
    "generation.status": "failed",
    "generation.phase": "done",
    "generation.released": 3,
    "generation.finished_at": SOON,
    "generation.next_attempt_at": None,
    "generation.retryable": True,
    "generation.failure_code": "provider_error",
    "generation.failure_message": "The provider failed to generate this.",
    "generation.rule": "provider_failed",
}
RUDE = "The provider's content policy refused this. Change the prompt or the image."
UNCOPIED = "The result could not be copied into storage."
NEXT = {"submission 2.number": 2, "submission 2.state": "planned", "submission 2.units_due_at": "now"}
AT_FAL = "http://127.0.0.1:9/fal-ai/flux/requests/job"
TICKET = {"status_url": f"{AT_FAL}/status", "response_url": AT_FAL, "cancel_url": f"{AT_FAL}/cancel"}
ACCEPTED = {"request_id": "job", "answered_at": SOON, **TICKET}


def _of(what: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{what}.{name}": value for name, value in values.items()}


Line = tuple[str, str, str, str, int, int]
# The fact, told where: which columns change to what, and what the timeline says of it.
WRITTEN: dict[str, tuple[Fact, Fact, dict[str, Any], Line | None]] = {
    "submitting": (
        queued,
        FACTS["submitting"],
        _of("generation", {"phase": "submitting", "next_attempt_at": LATER})
        | _of("submission", {"state": "sent", "sent_at": SOON}),
        ("submitting", "limn", "", "", 0, 0),
    ),
    "submitted": (
        sent,
        FACTS["submitted"],
        _of("generation", {"phase": "waiting", "status": "processing", "submitted_at": SOON, "next_attempt_at": LATER})
        | {"generation.deadline_at": LATER}
        | _of("submission", {"state": "accepted", **ACCEPTED}),
        ("submitted", "fal", "", "request job", 0, 0),
    ),
    "surplus": (
        ended,
        FACTS["submitted"],
        _of("submission 2", {"number": 2, "state": "surplus", "units_due_at": "now", **ACCEPTED}),
        ("surplus", "fal", "", "request job is paid by the operator", 0, 0),
    ),
    "submission lost": (
        sent,
        FACTS["submission lost"],
        _of("generation", {"phase": "unknown", "next_attempt_at": LATER})
        | _of("submission", {"state": "unknown", "detail": "reset"}),
        ("submission_lost", "limn", "", "reset", 0, 0),
    ),
    "not taken": (
        sent,
        FACTS["not taken"],
        _of("generation", {"phase": "queued", "next_attempt_at": LATER})
        | _of("submission", {"state": "refused", "detail": "busy", "answered_at": SOON})
        | NEXT,
        ("not_taken", "fal", "", "busy", 0, 0),
    ),
    "not on record": (
        lifecycle_facts.unknown,
        FACTS["not on record"],
        _of("generation", {"phase": "queued", "next_attempt_at": SOON}) | {"submission.state": "missing"} | NEXT,
        ("not_on_record", "fal", "", "", 0, 0),
    ),
    "rejected": (
        sent,
        FACTS["rejected"],
        FAILED | _of("submission", {"state": "refused", "detail": "no", "answered_at": SOON}),
        ("failed", "fal", "The provider failed to generate this.", "no", -3, 0),
    ),
    "in queue": (
        running,
        FACTS["in queue"],
        _of("generation", {"phase": "waiting", "queue_position": 4}),
        ("progressed", "fal", "", "", 0, 0),
    ),
    "at work": (
        waiting,
        FACTS["at work"],
        _of("generation", {"phase": "running", "percent": 40, "message": "denoising 40 %"}),
        ("progressed", "fal", "", "", 0, 0),
    ),
    "further at work": (
        running,
        FACTS["at work"],
        _of("generation", {"percent": 40, "message": "denoising 40 %"}),
        None,
    ),
    "at work after the end": (ended, FACTS["at work"], {}, None),
    "answered": (
        running,
        FACTS["answered"],
        _of(
            "generation",
            {"phase": "storing", "message": "Copying 1 file", "answered_at": SOON, "next_attempt_at": None},
        )
        | {"generation.details": {"seed": 42}}
        | _of("output", {"role": "images[0]", "counts": True, "source_url": "https://v3.fal.media/cat.png"})
        | _of("output", {"claimed_size_bytes": 7, "state": "pending", "next_attempt_at": SOON, "give_up_at": LATER}),
        ("answered", "fal", "Copying 1 file", "", 0, 0),
    ),
    "answered nothing": (
        running,
        FACTS["answered nothing"],
        FAILED,
        ("failed", "fal", "The provider failed to generate this.", "an answer without a file", -3, 0),
    ),
    "answered an error": (
        running,
        FACTS["answered an error"],
        {name: value for name, value in FAILED.items() if name != "generation.retryable"}
        | _of("generation", {"failure_code": "content_policy", "failure_message": RUDE, "rule": "content_policy"})
        | {"generation.failure_errors": [{"loc": ["prompt"]}]},
        ("failed", "fal", RUDE, "rude", -3, 0),
    ),
    "failed while copying": (
        storing,
        FACTS["failed"],
        {name: value for name, value in FAILED.items() if name != "generation.next_attempt_at"}
        | {"generation.message": "", "output.state": "lost", "output.next_attempt_at": None},
        ("failed", "test", "The provider failed to generate this.", "no", -3, 0),
    ),
    "given up": (
        queued,
        FACTS["given up"],
        FAILED,
        ("failed", "limn", "The provider failed to generate this.", "it kills", -3, 0),
    ),
    "stuck": (waiting, FACTS["given up"], {}, ("stuck", "limn", "", "it kills", 0, 0)),
    "cancelled by fal itself": (
        running,
        FACTS["cancelled"],
        FAILED,
        ("failed", "fal", "The provider failed to generate this.", "", -3, 0),
    ),
    "cancel asked": (
        waiting,
        FACTS["cancel asked"],
        _of("generation", {"cancel_asked_at": SOON, "cancel_asked_by": "customer", "next_attempt_at": SOON}),
        ("cancel_asked", "user:alice", "", "", 0, 0),
    ),
    "cancel asked in time": (
        queued,
        FACTS["cancel asked"],
        FAILED
        | _of("generation", {"failure_code": "cancelled", "failure_message": "Cancelled.", "rule": "cancelled_queued"}),
        ("failed", "user:alice", "Cancelled.", "", -3, 0),
    ),
    "cancel sent": (waiting, FACTS["cancel sent"], {"generation.cancel_sent_at": SOON}, None),
    "withdrawn": (waiting, lifecycle.surplus_cancelled, {"submission.withdrawn_at": SOON}, None),
    "stored": (
        storing,
        OF_FILES["stored"],
        _of("generation", {"status": "completed", "phase": "done", "message": "", "captured": 3, "finished_at": SOON})
        | _of("generation", {"rule": "delivered"})
        | _of("output", {"state": "stored", "key": "k", "kind": "image", "content_type": "image/png", "size_bytes": 1})
        | _of("output", {"sha256": "s", "width": 4, "height": 2, "stored_at": SOON, "next_attempt_at": None}),
        ("completed", "limn", "", "", -3, -3),
    ),
    "lost": (
        storing,
        OF_FILES["lost"],
        {name: value for name, value in FAILED.items() if name != "generation.next_attempt_at"}
        | _of("generation", {"message": "", "failure_code": "copy_failed", "failure_message": UNCOPIED})
        | _of("generation", {"rule": "not_stored"})
        | _of("output", {"state": "lost", "detail": "gone", "next_attempt_at": None}),
        ("failed", "limn", UNCOPIED, "gone", -3, 0),
    ),
}


@pytest.mark.parametrize("place, fact, written, line", WRITTEN.values(), ids=WRITTEN)
def test_a_fact_writes_this_and_nothing_else(
    place: Fact, fact: Fact, written: dict[str, Any], line: Line | None, order: Ordering
) -> None:
    attempt, other = order().submissions.get(), order().submissions.get()
    # The newest attempt of all is somebody else's.
    Submission.objects.filter(pk=other.pk).update(number=5)
    place(attempt), place(other)
    before, others = _columns(attempt), _columns(other)

    fact(attempt)

    assert _changes(before, _columns(attempt)) == written
    assert _columns(other) == others
    assert _lines(attempt)[len(before["lines"]) :] == ([] if line is None else [line])


def _columns(attempt: Submission) -> dict[str, Any]:
    tables: list[tuple[type[Model], str]] = [(Generation, "pk"), (Submission, "generation"), (Output, "generation")]
    columns: dict[str, Any] = {"lines": _lines(attempt)}
    for table, key in tables:
        for number, row in enumerate(table._default_manager.filter(**{key: attempt.generation_id}).order_by("pk"), 1):
            name = f"{table.__name__.lower()}{f' {number}' if number > 1 else ''}"
            columns |= {f"{name}.{field.attname}": getattr(row, field.attname) for field in row._meta.concrete_fields}
    return columns


# What a new row has by itself.
OWN = ("id", "generation_id", "token", "created_at")


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in after.items() if before.get(name) != value and name != "lines"}
    risen = changed.pop("generation.version", before["generation.version"]) - before["generation.version"]
    assert risen == any(name.startswith("generation.") for name in changed)
    return {
        name: _said(value)
        for name, value in changed.items()
        if name in before or (value not in (None, "", 0, False) and name.rpartition(".")[2] not in OWN) or value is True
    }


def _said(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return LATER if value > timezone.now() + timedelta(seconds=1.5) else SOON


def _lines(attempt: Submission) -> list[Line]:
    events = Event.objects.filter(generation=attempt.generation_id).order_by("pk")
    if newest := events.last():
        now = Generation.objects.get(pk=attempt.generation_id)
        assert (newest.status, newest.phase, newest.version <= now.version) == (now.status, now.phase, True)
    return [(e.fact, e.actor, e.note, e.staff_note, e.held_change, e.balance_change) for e in events]


# --- Words that are too long ---


def test_what_is_too_long_for_its_column_is_cut(order: Ordering) -> None:
    attempt, word = order().submissions.get(), "x" * 2000
    lifecycle.submitting(attempt.generation)
    lifecycle.submission_lost(attempt, detail=word)
    lifecycle.cancel_asked(attempt.generation, by=CancelledBy.STAFF, actor=word)

    attempt.refresh_from_db()
    lost, asked = Event.objects.order_by("pk")[2:]
    assert (len(attempt.detail), len(lost.staff_note), len(asked.actor)) == (500, 500, 150)


def test_a_refusal_that_is_too_long_is_cut(order: Ordering) -> None:
    attempt = order().submissions.get()
    lifecycle.submitting(attempt.generation)

    lifecycle.submission_refused(attempt, detail="x" * 2000, retry_in_seconds=0)

    attempt.refresh_from_db()
    assert len(attempt.detail) == 500


@pytest.mark.parametrize(
    "end", [lifecycle.output_lost, lambda output, detail: lifecycle.not_copied(output, detail=detail, missed=True)]
)
def test_why_a_file_did_not_come_is_cut(end: Any, order: Ordering) -> None:
    attempt = order().submissions.get()
    storing(attempt)

    end(Output.objects.get(), detail="x" * 2000)

    assert len(Output.objects.get().detail) == 500


# --- Why it failed ---

REASONS = {
    ("", "cancelled"): FailureCode.PROVIDER_ERROR,
    ("customer", "cancelled"): FailureCode.CANCELLED,
    ("staff", "cancelled"): FailureCode.CANCELLED,
    ("deadline", "cancelled"): FailureCode.DEADLINE,
    ("deadline", "content_policy"): FailureCode.CONTENT_POLICY,
    ("", "content_policy"): FailureCode.CONTENT_POLICY,
}


@pytest.mark.parametrize("asked_by, said, code", [(*key, code) for key, code in REASONS.items()])
def test_who_asked_for_the_end_hears_it_in_his_words(asked_by: str, said: Any, code: FailureCode) -> None:
    why = lifecycle.failure_for(Generation(cancel_asked_by=asked_by), Reason(code=said, retryable=False))

    assert (why.code, why.message) == (code, lifecycle.failure(code).message)


@pytest.mark.parametrize("asked_by, told", [("customer", "So it was."), ("deadline", "This was not finished in time.")])
def test_what_the_border_says_of_a_reason_is_told_unless_it_was_ours(asked_by: str, told: str) -> None:
    reason = Reason(code="cancelled", retryable=False, message="So it was.")

    assert lifecycle.failure_for(Generation(cancel_asked_by=asked_by), reason).message == told


def test_a_cancellation_is_asked_for_once(order: Ordering) -> None:
    attempt = order().submissions.get()
    waiting(attempt)

    answers = [
        lifecycle.cancel_asked(attempt.generation, by=by, actor="user:alice")
        for by in (CancelledBy.CUSTOMER, CancelledBy.DEADLINE)
    ]

    assert answers == ["asked", "asked"]
    assert Generation.objects.get().cancel_asked_by == CancelledBy.CUSTOMER
    assert Event.objects.filter(fact="cancel_asked").count() == 1


@pytest.mark.parametrize("place, times_told", [(waiting, 1), (ended, 0)])
def test_staff_are_told_once_that_an_order_is_stuck(place: Fact, times_told: int, order: Ordering) -> None:
    attempt = order().submissions.get()
    place(attempt)
    Submission.objects.update(state=Submission.State.ACCEPTED)

    for _ in range(2):
        FACTS["given up"](attempt)

    assert Event.objects.filter(fact="stuck").count() == times_told


def test_the_receipt_of_a_cancelled_order_makes_it_due_at_once(order: Ordering) -> None:
    attempt = order().submissions.get()
    sent(attempt)
    FACTS["cancel asked"](attempt)

    FACTS["submitted"](attempt)

    due = Generation.objects.get().next_attempt_at
    assert due is not None
    assert due < timezone.now() + timedelta(seconds=1.5)


def test_a_receipt_that_gets_lost_takes_back_nothing_that_the_callback_said(order: Ordering) -> None:
    attempt = order().submissions.get()
    waiting(attempt)

    FACTS["submission lost"](attempt)

    assert Submission.objects.get().state == Submission.State.ACCEPTED


@pytest.mark.parametrize("files, words", [(1, "Copying 1 file"), (2, "Copying 2 files")])
def test_who_waits_hears_how_many_files_are_copied(files: int, words: str, order: Ordering) -> None:
    attempt = order().submissions.get()
    waiting(attempt)

    lifecycle.answered(attempt, {"images": [{"url": f"https://v3.fal.media/{n}.png"} for n in range(files)]})

    assert Generation.objects.get().message == words


def test_what_is_copied_is_neither_in_line_nor_counted_any_more(order: Ordering) -> None:
    attempt = order().submissions.get()
    waiting(attempt)
    Generation.objects.update(queue_position=4, percent=40)

    lifecycle.answered(attempt, lifecycle_facts.ANSWER)

    assert Generation.objects.values_list("queue_position", "percent").get() == (None, None)


def test_a_receipt_is_heard_once(order: Ordering) -> None:
    attempt = order().submissions.get()
    sent(attempt)

    assert [FACTS["submitted"](attempt), FACTS["submitted"](attempt)] == [True, False]
    assert Submission.objects.count() == 1


def test_f11_a_second_job_of_an_attempt_is_noticed_by_who_does_not_know_of_the_first(order: Ordering) -> None:
    attempt = order().submissions.get()
    stale = Submission.objects.get()
    waiting(attempt)

    FACTS["submitted"](stale)

    attempts = Submission.objects.order_by("number").values_list("state", "request_id")
    assert list(attempts) == [("accepted", f"first {attempt.pk}"), ("surplus", "job")]


def test_two_jobs_of_one_order_and_the_other_answers_first(order: Ordering) -> None:
    first, other = order().submissions.get(), order().submissions.get()
    waiting(first)
    waiting(other)
    second = Submission.objects.create(generation=first.generation, number=2, state=Submission.State.SURPLUS)

    lifecycle.answered(second, lifecycle_facts.ANSWER)

    states = Submission.objects.order_by("generation_id", "number").values_list("state", flat=True)
    assert list(states) == ["surplus", "accepted", "accepted"]
    assert Generation.objects.get(pk=first.generation_id).phase == Phase.STORING
