"""Several processes do the same work at the same time, with one effect. See docs/failure-modes.md, groups E and F."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.test import Client

from generations.models import Event, Generation, Heartbeat, Output, Submission
from generations.workers import heartbeats, reconciler, tasks
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

# --- Reconcilers ---


@pytest.mark.only_postgresql
@pytest.mark.parametrize("repetition", range(5))
def test_f4_a_callback_and_the_reconciler_at_once_have_one_effect(
    repetition: int, fal: Simulator, submitted: Submission
) -> None:
    fal.finish(str(submitted.request_id))
    Generation.objects.update(next_attempt_at=Now(), leased_until=None)

    def send_or_reconcile(number: int) -> int:
        if number % 2:
            return reconciler.run_once(limit=10)
        return CallbackSender(fal=fal, client=Client()).send(submitted)

    at_once(4, send_or_reconcile)

    assert (Event.objects.filter(fact="answered").count(), Output.objects.count()) == (1, 1)


@pytest.mark.only_postgresql
def test_f5_concurrent_reconcilers_share_the_generations(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.always("hold", "callback:lost")
    for number in range(6):
        order(prompt=f"cat {number}")
    work.submit()
    Generation.objects.update(next_attempt_at=Now(), leased_until=None)

    assert sum(at_once(4, lambda _: reconciler.run_once(limit=6))) == 6


# --- Periodic work ---


@pytest.mark.only_postgresql
@pytest.mark.parametrize("is_first_turn", [True, False])
def test_e11_one_of_several_processes_does_periodic_work(is_first_turn: bool) -> None:
    if not is_first_turn:
        Heartbeat.objects.create(name="pass", seen_at=Now() - timedelta(days=2))

    assert sum(at_once(8, lambda _: heartbeats.take_turn("pass", every=timedelta(days=1)))) == 1


def test_e11_periodic_work_is_due_again_after_its_interval() -> None:
    turns = [heartbeats.take_turn("pass", every=every) for every in (timedelta(days=1), timedelta(days=1), timedelta())]

    assert turns == [True, False, True]


# --- Wake-ups ---


def test_e9_a_transaction_that_is_rolled_back_wakes_no_loop() -> None:
    woken = threading.Event()
    tasks.run_here({"test": woken})

    with suppress(RuntimeError), transaction.atomic():
        tasks.wake("test")
        raise RuntimeError

    assert not woken.is_set()
    tasks.wake("test")
    assert woken.is_set()
