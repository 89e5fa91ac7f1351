"""The hand-written statements of the workers read and write what the ORM would."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection, models, transaction

from generations.jobs import leases
from generations.models import Output, ProviderCallback, Submission, WriteAttempt
from generations.workers import statements
from tests.fixtures.callbacks import SubmitMany
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender

pytestmark = pytest.mark.django_db(transaction=True)

Receive = Callable[[int], list[ProviderCallback]]


@pytest.fixture
def receive(submit_many: SubmitMany, callbacks: CallbackSender) -> Receive:
    """`receive(3)` returns three callbacks that are stored and not processed, each of another generation."""

    def send(count: int) -> list[ProviderCallback]:
        sender = CallbackSender(fal=callbacks.fal, client=callbacks.client, is_processed=False)
        for submission in submit_many(count):
            sender.send(submission)
        return list(ProviderCallback.objects.order_by("pk"))

    return send


def values(row: models.Model) -> dict[str, object]:
    found = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in found.items()}


def test_the_callbacks_that_came_first_are_locked_with_their_generations(receive: Receive) -> None:
    first, second, third, _ = receive(4)

    with transaction.atomic():
        found = statements.lock_next_received(limit=2, without={second.pk})

    by_orm = ProviderCallback.objects.select_related("submission__generation")
    assert [row.pk for row in found] == [first.pk, third.pk]
    for row, expected in zip(found, by_orm.filter(pk__in=[first.pk, third.pk]).order_by("pk"), strict=True):
        assert row.submission is not None
        assert expected.submission is not None
        assert values(row) == values(expected)
        assert values(row.submission) == values(expected.submission)
        assert values(row.submission.generation) == values(expected.submission.generation)
        assert row.submission.generation.now is not None


def test_the_callbacks_of_one_generation_are_locked(receive: Receive) -> None:
    first, second = receive(2)
    generation_id = Submission.objects.get(callbacks=second).generation_id

    with transaction.atomic():
        assert statements.lock_received("callback.id", first.pk) == [first]
        assert statements.lock_received("generation.id", generation_id) == [second]


def test_a_processed_callback_is_not_locked(receive: Receive) -> None:
    first, second, third = receive(3)

    with transaction.atomic():
        statements.record_outcome([first, third], ProviderCallback.Outcome.APPLIED)

        assert statements.lock_next_received(limit=9, without=()) == [second]
        assert statements.lock_received("callback.id", first.pk) == []
    assert list(ProviderCallback.objects.filter(outcome="applied").order_by("pk")) == [first, third]


# --- Attempts to write ---


def claim_outputs(limit: int) -> list[Output]:
    due = Output.objects.to_copy()
    return leases.Claim(due, seconds=30, record=statements.RECORD_WRITE_ATTEMPTS).claim(limit=limit)


def test_a_claim_records_an_attempt_for_each_output(order: PlaceOrder, work: Work) -> None:
    generation = order(prompt="cats", num_images=3)
    work.until(generation.outputs.exists)

    claimed = claim_outputs(2)

    assert len(claimed) == 2
    expected = [
        WriteAttempt(output=output, lease=output.lease, next_cleanup_at=output.leased_until)
        for output in claimed
        if output.lease and output.leased_until
    ]
    written = list(WriteAttempt.objects.order_by("output_id"))
    without_ids = [{**values(row), "id": None} for row in written]
    assert without_ids == [values(row) for row in sorted(expected, key=lambda row: str(row.output_id))]
    assert {row.place for row in written} == {output.place_of(output.lease) for output in claimed}


def test_a_claim_of_nothing_records_nothing(order: PlaceOrder) -> None:
    order()

    assert claim_outputs(5) == []
    assert not WriteAttempt.objects.exists()


@pytest.mark.once
def test_the_claimed_outputs_are_found_by_the_index_of_due_ones(order: PlaceOrder) -> None:
    """They are few, however many outputs there are."""
    sql = statements.RECORD_WRITE_ATTEMPTS.replace("{updated}", "generations_output")
    with connection.cursor() as cursor:
        plan = [detail for *_, detail in cursor.execute(f"EXPLAIN QUERY PLAN {sql}", ["a"]).fetchall()]

    assert [step for step in plan if "generations_outputs_due" in step]
