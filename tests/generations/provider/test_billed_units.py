"""Billed units: fal reports them with a polled result; for a result that came by callback, Limn asks for them once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from database import clock
from generations.models import Submission
from generations.provider import billed_units
from simulator import Simulator
from tests.fixtures.billing import Generate, generate
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.clocks import all_clocks_at, just_passed

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries
    from pytest_django.fixtures import Settings

__all__ = ["generate"]
pytestmark = pytest.mark.django_db(transaction=True)


def forget_units() -> None:
    """Removes the units, as if the results had come by callback."""
    Submission.objects.update(billable_units=None, units_due_at=just_passed())


def units() -> Decimal | None:
    return Submission.objects.get().billable_units


def test_the_units_of_a_polled_result_are_recorded(generate: Generate) -> None:
    generate(num_images=2)

    assert units() == 2
    assert billed_units.run_once(limit=10) == 0


def test_the_units_of_a_result_that_came_by_callback_are_asked_for_once(generate: Generate) -> None:
    generate(num_images=2)
    forget_units()

    assert [billed_units.run_once(limit=10), billed_units.run_once(limit=10)] == [1, 0]
    assert units() == 2


def test_the_units_of_a_running_job_are_not_asked_for(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("hold", "callback:lost")
    order()
    work.submit()

    assert billed_units.run_once(limit=10) == 0


def test_the_units_of_a_result_that_fal_has_deleted_are_not_asked_for_again(generate: Generate, fal: Simulator) -> None:
    generate()
    forget_units()
    fal.log.clear()

    assert [billed_units.run_once(limit=10), billed_units.run_once(limit=10)] == [1, 0]
    assert (units(), Submission.objects.get().units_due_at) == (None, None)


def test_fal_is_asked_again_after_a_pause_if_it_does_not_answer(generate: Generate, settings: Settings) -> None:
    generate()
    forget_units()
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    billed_units.run_once(limit=10)

    due = Submission.objects.get().units_due_at
    assert due is not None
    assert timedelta(0) < due - clock.now() <= billed_units.RETRY


def test_of_two_workers_that_have_read_the_same_row_one_asks(generate: Generate, settings: Settings) -> None:
    """fal does not answer the second one, which would make the row due again if it asked."""
    generate()
    forget_units()
    read_before = Submission.objects.select_related("generation").get()
    billed_units.run_once(limit=10)
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    billed_units.ask([read_before])

    assert units() == 1
    assert Submission.objects.get().units_due_at is None


def test_without_the_condition_the_second_worker_would_make_the_row_due_again(generate: Generate) -> None:
    """Negative control: the row is made due without the check that it is unchanged since it was read."""
    generate()
    forget_units()
    read_before = Submission.objects.get()
    billed_units.run_once(limit=10)

    Submission.objects.filter(pk=read_before.pk).update(units_due_at=just_passed())

    assert billed_units.run_once(limit=10) == 1


def test_fal_is_not_asked_any_more_after_it_has_deleted_the_result(generate: Generate, settings: Settings) -> None:
    generate()
    forget_units()
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    with all_clocks_at(timezone.now() + 2 * billed_units.RESULT_KEPT):
        billed_units.run_once(limit=10)

    assert Submission.objects.get().units_due_at is None


def test_several_submissions_are_asked_about_with_three_statements(
    fal: Simulator, order: PlaceOrder, work: Work, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        work.until_done(order(prompt=f"cat {number}"))
    forget_units()

    with django_assert_num_queries(3):
        assert billed_units.run_once(limit=10) == 3

    assert set(Submission.objects.values_list("billable_units", "units_due_at")) == {(Decimal(1), None)}


def test_a_submission_that_another_worker_has_asked_about_is_left_out(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    for number in range(2):
        work.until_done(order(prompt=f"cat {number}"))
    forget_units()
    first, second = Submission.objects.select_related("generation").order_by("pk")
    Submission.objects.filter(pk=first.pk).update(units_due_at=timezone.now() + billed_units.RETRY)

    billed_units.ask([first, second])

    assert list(Submission.objects.order_by("pk").values_list("billable_units", flat=True)) == [None, 1]
