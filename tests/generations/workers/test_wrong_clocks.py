"""A process whose clock is wrong decides as the others do: by the clock of the database.

Here the workers are called although their process would refuse to work (`tests/end_to_end/outages/test_clocks.py`).
Case e14 of docs/failure-modes.md.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from credits.models import Account
from database import clock
from database.clock import from_now
from generations import lifecycle
from generations.catalogue import find
from generations.models import Generation, Output, Phase, Retention, Status, Submission, Upload
from generations.ordering.orders import BatchOrder, Order
from generations.workers import eraser, storage_cleaner
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.clocks import process_clock_ahead

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.only_postgresql]
AHEAD = [timedelta(minutes=70), timedelta(hours=7), timedelta(hours=-3)]


@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_e14_a_running_generation_goes_on(submitted: Submission, work: Work, ahead: timedelta) -> None:
    with process_clock_ahead(ahead):
        work.reconcile()

    generation = Generation.objects.get(pk=submitted.generation_id)
    assert (generation.status, generation.cancel_asked_at) == (Status.PROCESSING, None)


@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_e14_a_file_is_not_lost_to_one_error(
    fal: Simulator, callbacks: CallbackSender, submitted: Submission, work: Work, ahead: timedelta
) -> None:
    fal.script("cdn:503x1")
    fal.finish(callbacks.request_id(submitted))
    work.until(Output.objects.exists)

    with process_clock_ahead(ahead):
        work.copy()

    assert work.until_done(submitted.generation).status == Status.COMPLETED


@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_e14_an_order_and_a_batch_are_due_at_once(alice: Account, order: PlaceOrder, ahead: timedelta) -> None:
    model, inputs = find("flux-schnell"), {"prompt": "a dog"}
    batch = BatchOrder(orders=[Order(model=model, inputs=model.read(inputs), raw_input=inputs)] * 2)

    with process_clock_ahead(ahead):
        order()
        lifecycle.order_batch(alice, batch, actor="user:alice")

    in_time = Generation.objects.filter(
        next_attempt_at__lt=from_now(1),
        created_at__gt=from_now(-60),
        deadline_at__gt=Now(),
        deadline_at__lt=from_now(7200),
    )
    assert in_time.count() == Generation.objects.count() == 3


@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_e14_a_lost_answer_is_looked_up_in_time(
    fal: Simulator, order: PlaceOrder, work: Work, ahead: timedelta
) -> None:
    fal.script("drop_after_accept", "callback:lost")
    generation = order()
    with process_clock_ahead(ahead):
        work.submit()
        work.reconcile()

    generation.refresh_from_db()
    assert generation.phase in {Phase.UNKNOWN, Phase.WAITING, Phase.RUNNING}


def test_e14_a_retention_rule_erases_nothing_early(alice: Account, order: PlaceOrder, work: Work) -> None:
    work.until_done(order())
    Retention.objects.create(account=alice, days=7)

    with process_clock_ahead(timedelta(days=30)):
        eraser.run_once(limit=10)

    assert Generation.objects.filter(erased_at=None).count() == 1


def test_e14_an_upload_that_is_not_complete_keeps_its_time(alice: Account) -> None:
    Upload.objects.create(
        account=alice, file_name="cat.png", declared_type="image/png", declared_size_bytes=9, expires_at=clock.now()
    )

    with process_clock_ahead(timedelta(days=30)):
        storage_cleaner.run_once(limit=10)

    assert Upload.objects.filter(state=Upload.State.PENDING, cleaned_up_at=None).count() == 1
