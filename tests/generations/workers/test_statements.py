"""The hand-written statements of the inbox read and write what the ORM would."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import models, transaction

from generations.models import ProviderCallback, Submission
from generations.workers import statements
from tests.fixtures.callbacks import SubmitMany
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
