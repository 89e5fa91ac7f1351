"""Erasure: what is removed from the rows, what stays, and how the eraser reports that the files are deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from generations import lifecycle
from generations.errors import NotFinished
from generations.lifecycle.erasing import reopen_erasure
from generations.models import Erasure, Event, Generation, InputFile, Output, ProviderCallback
from tests.fixtures.orders import PlaceOrder
from tests.helpers import lifecycle_facts
from tests.helpers.clocks import just_passed
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

pytestmark = pytest.mark.django_db

Complete = Callable[[], Generation]


@pytest.fixture
def complete(order: PlaceOrder) -> Complete:
    """`complete()`: a completed generation with something to erase in every field."""

    def place() -> Generation:
        generation = order()
        submission = generation.submissions.get()
        lifecycle_facts.reach_storing(submission)
        lifecycle_facts.stored(submission)
        Generation.objects.filter(pk=generation.pk).update(
            metadata={"for": "alice"},
            webhook_url="https://example.com",
            failure_errors=[{"loc": ["prompt"]}],
            details={"description": "a cat"},
        )
        generation.submissions.update(detail="fal said: a cat")
        generation.outputs.update(detail="a cat", next_attempt_at=just_passed(), key=f"made/{generation.pk}")
        generation.events.update(staff_note="a cat")
        ProviderCallback.objects.create(
            submission=submission, request_id="r", body=b"a cat", body_sha256=submission.pk.hex
        )
        generation.refresh_from_db()
        return generation

    return place


def rows_of(generation: Generation) -> list[Any]:
    """Every row that belongs to the generation, to compare before and after."""
    related = (generation.submissions, generation.outputs, generation.events)
    return [
        Generation.objects.filter(pk=generation.pk).values().get(),
        *(list(rows.values()) for rows in related),
        list(ProviderCallback.objects.filter(submission__generation=generation).values()),
        list(Erasure.objects.filter(generation=generation).values()),
    ]


def erase(generation: Generation, actor: str = "user:alice") -> Erasure:
    return lifecycle.erase(generation, actor=actor)


@contextmanager
def failing_statements(text: str) -> Iterator[None]:
    """Within the block, SQL statements that contain this text fail, and the block must raise that error."""

    def execute_unless_matching(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if text in sql:
            raise DatabaseError("refused")
        return execute(sql, *rest)

    with connection.execute_wrapper(execute_unless_matching), pytest.raises(DatabaseError, match="refused"):
        yield


# --- What is removed ---


def test_everything_that_was_ordered_is_removed(complete: Complete) -> None:
    generation = complete()

    erase(generation)

    row: dict[str, Any] = dict(Generation.objects.values().get())
    emptied = ("input", "arguments", "metadata", "webhook_url", "arguments_hash", "failure_errors", "details")
    assert {name: row[name] for name in emptied if row[name]} == {}
    assert row["version"] == generation.version + 1
    assert row["erased_at"] is not None


def test_everything_that_fal_reported_is_removed(complete: Complete) -> None:
    generation = complete()

    erase(generation)

    assert list(generation.outputs.values_list("state", "source_url", "detail", "next_attempt_at")) == [
        (Output.State.ERASED, "", "", None)
    ]
    assert set(generation.submissions.values_list("detail", flat=True)) == {""}
    assert set(generation.events.values_list("staff_note", flat=True)) == {""}
    assert bytes(ProviderCallback.objects.get().body) == b""


def test_the_status_429_of_a_refusal_is_kept(complete: Complete) -> None:
    """A metric counts it."""
    generation = complete()
    Event.objects.filter(generation=generation, fact="submitted").update(fact="not_taken", staff_note="429: a cat")

    erase(generation)

    assert generation.events.get(fact="not_taken").staff_note == "429"


def test_no_other_generation_is_changed(complete: Complete) -> None:
    generation, unrelated = complete(), complete()
    before = rows_of(unrelated)

    lifecycle.erased(erase(generation), provider_copy=Erasure.ProviderCopy.NONE)

    assert rows_of(unrelated) == before


# --- The event and the receipt ---


def test_the_event_carries_the_version_after_the_erasure(complete: Complete) -> None:
    erase(generation := complete())

    event = generation.events.get(fact="erased")

    assert (event.version, event.actor) == (Generation.objects.get().version, "user:alice")


def test_the_receipt_names_the_actor(complete: Complete) -> None:
    assert erase(complete()).asked_by == "user:alice"
    assert erase(complete(), actor="u" * 200).asked_by == "u" * 150


def test_the_receipt_names_the_erased_files_and_is_due(complete: Complete) -> None:
    receipt = erase(generation := complete())

    file = generation.outputs.get()
    assert receipt.files == [{"output": str(file.pk), "role": "images[0]", "size": 1, "sha256": "s"}]
    assert Erasure.objects.to_do().get() == receipt


def test_an_erasure_whose_event_cannot_be_written_changes_nothing(complete: Complete) -> None:
    before = rows_of(generation := complete())

    with failing_statements('INSERT INTO "generations_event"'):
        erase(generation)

    assert rows_of(generation) == before


# --- What cannot be erased ---


def test_a_generation_that_has_not_ended_is_not_erased(order: PlaceOrder) -> None:
    before = rows_of(generation := order())

    with pytest.raises(NotFinished, match="Cancel it first"):
        erase(generation)

    assert rows_of(generation) == before


def test_a_generation_whose_output_is_an_input_file_in_use_is_not_erased(complete: Complete, order: PlaceOrder) -> None:
    generation = complete()
    InputFile.objects.create(generation=order(), path="image_url", output=generation.outputs.get())

    with pytest.raises(lifecycle.GenerationInUse, match="Cancel it, or wait"):
        erase(generation)

    assert not Erasure.objects.exists()


def test_input_files_of_other_generations_do_not_prevent_an_erasure(complete: Complete, order: PlaceOrder) -> None:
    generation, used = complete(), complete()
    InputFile.objects.create(generation=order(), path="image_url", output=used.outputs.get())

    assert erase(generation).generation == generation


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_an_erasure_waits_for_an_order_that_is_about_to_use_the_output(complete: Complete, order: PlaceOrder) -> None:
    generation, user = complete(), order()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            file = Output.objects.select_for_update().get(generation=generation)
            InputFile.objects.create(generation=user, path="image_url", output=file)
            erasing = pool.submit(erase_in_a_thread, generation)
            until(a_lock_is_awaited)

        with pytest.raises(lifecycle.GenerationInUse):
            erasing.result(timeout=HANG_SECONDS)


def erase_in_a_thread(generation: Generation) -> Erasure:
    try:
        return erase(generation)
    finally:
        connections.close_all()


# --- The eraser's report ---


def leased(receipt: Erasure) -> Erasure:
    """The receipt with a lease, and the detail of an attempt that failed before."""
    soon = timezone.now() + timedelta(minutes=1)
    Erasure.objects.filter(pk=receipt.pk).update(lease=uuid4(), leased_until=soon, detail="403")
    receipt.refresh_from_db()
    return receipt


def test_the_holder_of_the_lease_completes_the_erasure(complete: Complete) -> None:
    receipt = leased(erase(complete()))

    assert lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.DELETED)

    receipt.refresh_from_db()
    assert (receipt.done_at is None, receipt.next_attempt_at, receipt.detail) == (False, None, "")
    assert receipt.provider_copy == Erasure.ProviderCopy.DELETED
    assert Output.objects.get().key == ""


def test_e3_a_worker_that_has_lost_its_lease_does_not_complete_the_erasure(complete: Complete) -> None:
    receipt = leased(erase(complete()))
    before = rows_of(Generation.objects.get())
    receipt.lease = uuid4()

    assert not lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.DELETED)

    assert rows_of(Generation.objects.get()) == before


def test_an_erasure_is_completed_once(complete: Complete) -> None:
    receipt = erase(complete())
    lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.DELETED)

    assert not lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.KEPT)

    assert Erasure.objects.get().provider_copy == Erasure.ProviderCopy.DELETED


def test_completing_one_erasure_does_not_complete_another(complete: Complete) -> None:
    first, second = erase(complete()), erase(complete())

    lifecycle.erased(first, provider_copy=Erasure.ProviderCopy.NONE)

    second.refresh_from_db()
    assert second.done_at is None


def test_an_erasure_is_not_completed_while_its_outputs_still_have_keys(complete: Complete) -> None:
    receipt = erase(complete())

    with failing_statements('UPDATE "generations_output"'):
        lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.NONE)

    assert Erasure.objects.get().done_at is None


def test_a_second_job_that_fal_reports_after_the_erasure_reopens_it(complete: Complete) -> None:
    receipt = erase(complete())
    lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.DELETED)
    submission = receipt.generation.submissions.get()

    lifecycle.submitted(submission, lifecycle_facts.FAL.receipt_for("fal-ai/flux/schnell", "a second job"))

    receipt.refresh_from_db()
    assert (receipt.done_at, receipt.next_attempt_at is None) == (None, False)


def test_a_late_job_of_fal_reopens_the_erasure_of_its_generation_only(complete: Complete) -> None:
    receipts = [leased(erase(complete())), leased(erase(complete()))]
    Erasure.objects.update(done_at=timezone.now(), next_attempt_at=None)

    reopen_erasure(receipts[0].generation)

    reopened, other = (Erasure.objects.get(pk=receipt.pk) for receipt in receipts)
    assert (reopened.done_at, reopened.lease, reopened.leased_until) == (None, None, None)
    assert reopened.next_attempt_at is not None
    assert (other.done_at is None, other.lease) == (False, receipts[1].lease)
