"""Several who do the same work at the same moment: one effect, and nobody is asked twice. Groups E and F."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.test import Client
from huey.contrib.djhuey import HUEY

from config.management.commands import work as work_command
from generations.models import Event, Generation, Heartbeat, Output, Submission
from generations.workers import heartbeats, reconciler, tasks
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.only_postgresql
@pytest.mark.parametrize("round_", range(5))
def test_f4_callback_and_reconciler_at_once_have_one_effect(round_: int, fal: Simulator, submitted: Submission) -> None:
    fal.finish(str(submitted.request_id))
    Generation.objects.update(next_attempt_at=Now(), leased_until=None)

    def hear_or_ask(number: int) -> int:
        if number % 2:
            return reconciler.run_once(limit=10)
        return CallbackSender(fal=fal, client=Client()).send(submitted)

    at_once(4, hear_or_ask)

    assert (Event.objects.filter(fact="answered").count(), Output.objects.count()) == (1, 1)


@pytest.mark.only_postgresql
def test_f5_several_reconcilers_share_the_work(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.always("hold", "callback:lost")
    for number in range(6):
        order(prompt=f"cat {number}")
    work.submit()
    Generation.objects.update(next_attempt_at=Now(), leased_until=None)

    assert sum(at_once(4, lambda _: reconciler.run_once(limit=6))) == 6


@pytest.mark.only_postgresql
@pytest.mark.parametrize("known", [False, True])
def test_e11_of_several_who_look_whether_it_is_time_one_has_the_turn(known: bool) -> None:
    if known:
        Heartbeat.objects.create(name="pass", seen_at=Now() - timedelta(days=2))

    assert sum(at_once(8, lambda _: heartbeats.take_turn("pass", every=timedelta(days=1)))) == 1


def test_e11_a_turn_comes_round_again(db: None) -> None:
    turns = [heartbeats.take_turn("pass", every=every) for every in (timedelta(days=1), timedelta(days=1), timedelta())]

    assert turns == [True, False, True]


def test_e9_what_was_rolled_back_leaves_no_nudge(order: PlaceOrder) -> None:
    generation, before = order(), HUEY.pending_count()

    with suppress(RuntimeError), transaction.atomic():
        tasks.enqueue_copy(generation.pk)
        raise RuntimeError

    assert HUEY.pending_count() == before
    tasks.enqueue_copy(generation.pk)
    assert HUEY.pending_count() == before + 1


def test_f9_whatever_the_backlog_fal_is_asked_a_batch_a_second(db: None) -> None:
    """A full batch of copies is followed by the next at once; a full batch of questions is not."""
    stop, turns = threading.Event(), {"reconciler": 0, "copier": 0}

    def full(name: str, limit: int) -> int:
        turns[name] += 1
        if turns["copier"] == 40:
            stop.set()
        return limit

    started = time.monotonic()
    threads = [
        threading.Thread(target=work_command.poll, args=(name, lambda limit, name=name: full(name, limit), stop))
        for name in turns
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert turns["copier"] >= 40
    assert turns["reconciler"] <= 2 + (time.monotonic() - started) / work_command.POLL_SECONDS
