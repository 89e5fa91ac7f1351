"""The statements of the lifecycle read and write what the ORM reads and writes."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db.models import Model, Sum
from django.utils import timezone

from credits.models import Account
from database.statements import execute_together
from generations import lifecycle
from generations.lifecycle import statements, transitions
from generations.models import SPENDING, DailySpending, Generation, Output, Phase, Submission
from tests.fixtures.orders import PlaceOrder
from tests.helpers.lifecycle_facts import FAILURE, FILE, reach_storing, reach_waiting

pytestmark = pytest.mark.django_db
ANSWER = {"images": [{"url": f"https://v3.fal.media/{number}.png"} for number in range(3)]}


def values(row: Model) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_the_locked_row_is_the_row_that_the_orm_reads(order: PlaceOrder) -> None:
    generation = order()
    reach_waiting(generation.submissions.get())

    locked = transitions.lock(generation.pk)

    assert values(locked) == values(Generation.objects.get(pk=generation.pk))
    assert abs((locked.now - timezone.now()).total_seconds()) < 60


def test_a_generation_that_does_not_exist_cannot_be_locked() -> None:
    with pytest.raises(Generation.DoesNotExist):
        transitions.lock(uuid4())


def test_a_move_writes_what_the_object_then_says(order: PlaceOrder) -> None:
    generation = transitions.lock(order().pk)

    transitions.move(generation, Phase.SUBMITTING, message="soon", details={"a": None}, next_attempt_at=None)

    assert values(generation) == values(Generation.objects.get(pk=generation.pk))


def test_a_row_that_was_changed_without_its_lock_is_not_overwritten(order: PlaceOrder) -> None:
    generation = order()
    Generation.objects.filter(pk=generation.pk).update(version=7)

    with pytest.raises(transitions.StaleGeneration):
        transitions.move(generation, Phase.SUBMITTING)


def test_the_submissions_of_a_generation_are_those_that_the_orm_finds(order: PlaceOrder) -> None:
    generation, other = order(), order()
    Submission.objects.create(generation=generation, number=2)
    Submission.objects.filter(generation=other).update(request_id="theirs")

    found = statements.submissions_of(generation, request_id="theirs")

    expected = [*generation.submissions.all(), other.submissions.get()]
    assert {row.pk: values(row) for row in found} == {row.pk: values(row) for row in expected}


def test_the_outputs_are_counted_as_the_orm_counts_them(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_waiting(submission)
    lifecycle.answered(submission, ANSWER)
    first, second, last = submission.generation.outputs.all()
    Output.objects.filter(pk=first.pk).update(flagged=True)

    for output, changes in ((first, FILE_COLUMNS), (second, {"state": Output.State.LOST, "detail": "gone"})):
        counted = statements.end_output(output, changes)

    outputs = submission.generation.outputs
    assert counted is not None
    assert (counted.total, counted.pending) == (outputs.count(), outputs.filter(state="pending").count()) == (3, 1)
    assert (counted.paid, counted.delivered, counted.flagged, counted.detail) == (3, 1, 1, "gone")
    assert statements.end_output(first, FILE_COLUMNS) is None
    assert last.state == Output.State.PENDING


FILE_COLUMNS = {"state": Output.State.STORED, "key": FILE.key, "sha256": FILE.sha256, "size_bytes": FILE.size_bytes}


def test_an_output_of_another_lease_is_not_written(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_storing(submission)
    output = submission.generation.outputs.get()
    output.lease = uuid4()

    assert statements.end_output(output, FILE_COLUMNS) is None
    output.lease = None
    assert statements.end_output(output, FILE_COLUMNS) is None


def test_spending_is_the_sum_of_what_generations_hold_or_cost(alice: Account, order: PlaceOrder) -> None:
    failed, _, completed = order(), order(), order().submissions.get()
    lifecycle.failed(failed, FAILURE, actor="test")
    reach_storing(completed)
    lifecycle.stored(completed.generation.outputs.get(), FILE)

    spent = Generation.objects.filter(account=alice).aggregate(spent=Sum(SPENDING))["spent"]

    assert DailySpending.objects.get(account=alice).credits == spent == 6


def test_of_two_accepted_submissions_the_one_that_answers_stays_accepted(order: PlaceOrder) -> None:
    generation = order()
    first = generation.submissions.get()
    second = Submission.objects.create(generation=generation, number=2)
    refused = Submission.objects.create(generation=generation, number=3, state="refused")
    Submission.objects.filter(pk__in=[first.pk, second.pk]).update(state="accepted", request_id=None)

    execute_together(statements.accept_only(second))

    states = dict(generation.submissions.values_list("pk", "state"))
    assert states == {first.pk: "surplus", second.pk: "accepted", refused.pk: "refused"}
