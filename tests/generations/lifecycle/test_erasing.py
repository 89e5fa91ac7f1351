"""Erasing, fact by fact: which words go, which rows stay as they are, and who may say that it is done."""

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
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

pytestmark = pytest.mark.django_db


@pytest.fixture
def ended(order: PlaceOrder) -> Callable[[], Generation]:
    """One that is completed, and in all of whose fields there is something to erase."""

    def fill() -> Generation:
        generation = order()
        lifecycle_facts.reach_storing(attempt := generation.submissions.get())
        lifecycle_facts.stored(attempt)
        Generation.objects.filter(pk=generation.pk).update(
            metadata={"for": "alice"},
            webhook_url="https://example.com",
            failure_errors=[{"loc": ["prompt"]}],
            details={"description": "a cat"},
        )
        generation.submissions.update(detail="fal said: a cat")
        generation.outputs.update(detail="a cat", next_attempt_at=timezone.now(), key=f"made/{generation.pk}")
        generation.events.update(staff_note="a cat")
        ProviderCallback.objects.create(submission=attempt, request_id="r", body=b"a cat", body_sha256=attempt.pk.hex)
        generation.refresh_from_db()
        return generation

    return fill


def rows_of(generation: Generation) -> list[Any]:
    """All that is on record of it."""
    own = (generation.submissions, generation.outputs, generation.events)
    return [
        Generation.objects.filter(pk=generation.pk).values().get(),
        *(list(rows.values()) for rows in own),
        list(ProviderCallback.objects.filter(submission__generation=generation).values()),
        list(Erasure.objects.filter(generation=generation).values()),
    ]


def erase(generation: Generation, actor: str = "user:alice") -> Erasure:
    return lifecycle.erase(generation, actor=actor)


@contextmanager
def refused(words: str) -> Iterator[None]:
    """Within the block the database refuses the statements that contain these words."""

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if words in sql:
            raise DatabaseError("refused")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse), pytest.raises(DatabaseError, match="refused"):
        yield


# --- What goes ---


def test_every_word_of_the_order_is_taken_out(ended: Callable[[], Generation]) -> None:
    generation = ended()

    erase(generation)

    row: dict[str, Any] = dict(Generation.objects.values().get())
    emptied = ("input", "arguments", "metadata", "webhook_url", "arguments_hash", "failure_errors", "details")
    assert {name: row[name] for name in emptied if row[name]} == {}
    assert row["version"] == generation.version + 1
    assert row["erased_at"] is not None


def test_every_word_of_fal_is_taken_out(ended: Callable[[], Generation]) -> None:
    generation = ended()

    erase(generation)

    assert list(generation.outputs.values_list("state", "source_url", "detail", "next_attempt_at")) == [
        (Output.State.ERASED, "", "", None)
    ]
    assert set(generation.submissions.values_list("detail", flat=True)) == {""}
    assert set(generation.events.values_list("staff_note", flat=True)) == {""}
    assert bytes(ProviderCallback.objects.get().body) == b""


def test_that_it_was_too_much_for_fal_stays(ended: Callable[[], Generation]) -> None:
    generation = ended()
    Event.objects.filter(generation=generation, fact="submitted").update(fact="not_taken", staff_note="429: a cat")

    erase(generation)

    assert generation.events.get(fact="not_taken").staff_note == "429"


def test_nothing_of_another_is_touched(ended: Callable[[], Generation]) -> None:
    generation, other = ended(), ended()
    before = rows_of(other)

    lifecycle.erased(erase(generation), provider_copy=Erasure.ProviderCopy.NONE)

    assert rows_of(other) == before


def test_the_timeline_tells_it_with_the_version_that_it_made(ended: Callable[[], Generation]) -> None:
    erase(generation := ended())

    told = generation.events.get(fact="erased")

    assert (told.version, told.actor) == (Generation.objects.get().version, "user:alice")


def test_the_receipt_names_who_asked(ended: Callable[[], Generation]) -> None:
    assert erase(ended()).asked_by == "user:alice"
    assert erase(ended(), actor="u" * 200).asked_by == "u" * 150


def test_the_receipt_says_what_lay_there_and_is_due(ended: Callable[[], Generation]) -> None:
    receipt = erase(generation := ended())

    file = generation.outputs.get()
    assert receipt.files == [{"output": str(file.pk), "role": "images[0]", "size": 1, "sha256": "s"}]
    assert Erasure.objects.to_do().get() == receipt


def test_what_is_being_made_is_left_alone(order: PlaceOrder) -> None:
    before = rows_of(generation := order())

    with pytest.raises(NotFinished, match="Cancel it first"):
        erase(generation)

    assert rows_of(generation) == before


def test_an_erasure_that_cannot_be_told_has_not_happened(ended: Callable[[], Generation]) -> None:
    before = rows_of(generation := ended())

    with refused('INSERT INTO "generations_event"'):
        erase(generation)

    assert rows_of(generation) == before


# --- What is still needed ---


def test_what_another_is_made_of_stays(ended: Callable[[], Generation], order: PlaceOrder) -> None:
    generation = ended()
    InputFile.objects.create(generation=order(), path="image_url", output=generation.outputs.get())

    with pytest.raises(lifecycle.GenerationInUse, match="Cancel it, or wait"):
        erase(generation)

    assert not Erasure.objects.exists()


def test_what_others_are_made_of_keeps_nothing_else(ended: Callable[[], Generation], order: PlaceOrder) -> None:
    generation, other = ended(), ended()
    InputFile.objects.create(generation=order(), path="image_url", output=other.outputs.get())

    assert erase(generation).generation == generation


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_an_order_that_uses_it_at_this_very_moment_is_waited_for(
    ended: Callable[[], Generation], order: PlaceOrder
) -> None:
    generation, user = ended(), order()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            file = Output.objects.select_for_update().get(generation=generation)
            InputFile.objects.create(generation=user, path="image_url", output=file)
            erasing = pool.submit(_erase_elsewhere, generation)
            until(a_lock_is_awaited)

        with pytest.raises(lifecycle.GenerationInUse):
            erasing.result(timeout=HANG_SECONDS)


def _erase_elsewhere(generation: Generation) -> Erasure:
    try:
        return erase(generation)
    finally:
        connections.close_all()


# --- That it is done ---


def held(receipt: Erasure) -> Erasure:
    """As a worker holds it who has failed before."""
    soon = timezone.now() + timedelta(minutes=1)
    Erasure.objects.filter(pk=receipt.pk).update(lease=uuid4(), leased_until=soon, detail="403")
    receipt.refresh_from_db()
    return receipt


def test_who_holds_the_receipt_says_that_it_is_done(ended: Callable[[], Generation]) -> None:
    receipt = held(erase(ended()))

    assert lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.DELETED)

    receipt.refresh_from_db()
    assert (receipt.done_at is None, receipt.next_attempt_at, receipt.detail) == (False, None, "")
    assert receipt.provider_copy == Erasure.ProviderCopy.DELETED
    assert Output.objects.get().key == ""


def test_e3_who_slept_through_his_lease_says_nothing(ended: Callable[[], Generation]) -> None:
    sleeper = held(erase(ended()))
    before = rows_of(Generation.objects.get())
    sleeper.lease = uuid4()

    assert not lifecycle.erased(sleeper, provider_copy=Erasure.ProviderCopy.DELETED)

    assert rows_of(Generation.objects.get()) == before


def test_it_is_done_once(ended: Callable[[], Generation]) -> None:
    receipt = erase(ended())
    lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.DELETED)

    assert not lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.KEPT)

    assert Erasure.objects.get().provider_copy == Erasure.ProviderCopy.DELETED


def test_another_receipt_waits_for_its_own_worker(ended: Callable[[], Generation]) -> None:
    first, second = erase(ended()), erase(ended())

    lifecycle.erased(first, provider_copy=Erasure.ProviderCopy.NONE)

    second.refresh_from_db()
    assert second.done_at is None


def test_a_receipt_is_not_done_while_it_still_names_files(ended: Callable[[], Generation]) -> None:
    receipt = erase(ended())

    with refused('UPDATE "generations_output"'):
        lifecycle.erased(receipt, provider_copy=Erasure.ProviderCopy.NONE)

    assert Erasure.objects.get().done_at is None


def test_one_more_job_opens_its_receipt_again_and_no_other(ended: Callable[[], Generation]) -> None:
    receipts = [held(erase(ended())), held(erase(ended()))]
    Erasure.objects.update(done_at=timezone.now(), next_attempt_at=None)

    reopen_erasure(receipts[0].generation)

    opened, other = (Erasure.objects.get(pk=receipt.pk) for receipt in receipts)
    assert (opened.done_at, opened.lease, opened.leased_until) == (None, None, None)
    assert opened.next_attempt_at is not None
    assert (other.done_at is None, other.lease) == (False, receipts[1].lease)
