"""Billed units: fal counts them in a header of the result, and results that came by callback are asked for it once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import time_machine
from django.utils import timezone

from generations.models import Submission
from generations.provider import billed_units
from simulator import Simulator
from tests.fixtures.billing import Generate, generate
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

__all__ = ["generate"]
pytestmark = pytest.mark.django_db(transaction=True)


def forget_units() -> None:
    """Sets the submissions to the state after a callback, which has no such header."""
    Submission.objects.update(billable_units=None, units_due_at=timezone.now())


def units() -> Decimal | None:
    return Submission.objects.get().billable_units


def test_a_polled_result_tells_its_units(generate: Generate) -> None:
    generate(num_images=2)

    assert units() == 2
    assert billed_units.run_once(limit=10) == 0


def test_a_result_that_came_by_callback_is_asked_for_its_units_once(generate: Generate) -> None:
    generate(num_images=2)
    forget_units()

    assert [billed_units.run_once(limit=10), billed_units.run_once(limit=10)] == [1, 0]
    assert units() == 2


def test_a_running_job_is_not_asked_for_its_units(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("hold", "callback:lost")
    order()
    work.submit()

    assert billed_units.run_once(limit=10) == 0


def test_a_result_that_fal_has_deleted_is_not_asked_for_again(generate: Generate, fal: Simulator) -> None:
    generate()
    forget_units()
    fal.log.clear()

    assert [billed_units.run_once(limit=10), billed_units.run_once(limit=10)] == [1, 0]
    assert (units(), Submission.objects.get().units_due_at) == (None, None)


def test_a_fal_that_does_not_answer_is_asked_again_soon(generate: Generate, settings: Settings) -> None:
    generate()
    forget_units()
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    billed_units.run_once(limit=10)

    due = Submission.objects.get().units_due_at
    assert due is not None
    assert timedelta(0) < due - timezone.now() <= billed_units.RETRY


def test_of_two_workers_that_read_a_row_one_asks(generate: Generate, settings: Settings) -> None:
    """If the second one asked a fal that does not answer, it would make the row due again."""
    generate()
    forget_units()
    read_before = Submission.objects.select_related("generation").get()
    billed_units.run_once(limit=10)
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    billed_units._ask(read_before)

    assert units() == 1
    assert Submission.objects.get().units_due_at is None


def test_without_the_condition_the_second_worker_would_make_the_row_due_again(generate: Generate) -> None:
    """The negative control: the same write without the check that the row is unchanged."""
    generate()
    forget_units()
    read_before = Submission.objects.get()
    billed_units.run_once(limit=10)

    Submission.objects.filter(pk=read_before.pk).update(units_due_at=timezone.now())

    assert billed_units.run_once(limit=10) == 1


def test_after_an_hour_the_units_are_not_asked_for_any_more(generate: Generate, settings: Settings) -> None:
    generate()
    forget_units()
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    with time_machine.travel(timezone.now() + 2 * billed_units.RESULT_KEPT):
        billed_units.run_once(limit=10)

    assert Submission.objects.get().units_due_at is None
