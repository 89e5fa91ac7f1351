"""The loops of `manage.py work`: when they call their workers, and what their heartbeats say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError
from django.db.models.functions import Now

from config.management.commands.work import WORKERS
from generations.models import Generation, Heartbeat, Submission
from generations.workers import heartbeats, submitter
from generations.workers.loops import RETRY_SECONDS, ROWS_AT_ONCE, Loop, Loops, Worker
from generations.workers.statements import DueNames
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.services.waiting import HANG_SECONDS, until

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db(transaction=True)


class Calls:
    """A worker that records its calls. Each returns `handled`."""

    def __init__(self, handled: int = 0) -> None:
        self.handled = handled
        self.count = 0

    def __call__(self, *, limit: int) -> int:
        self.count += 1
        return self.handled


class Pauses(threading.Event):
    """An event that is never waited for. It records for how long, and is set by the third."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) == 3:
            self.set()
        return self.is_set()


def worker(run_once: Callable[..., int], **fields: Any) -> Worker:
    """A worker that is called when it is woken, and otherwise never within a test."""
    return Worker(name="test", run_once=run_once, idle_seconds=10 * HANG_SECONDS, **fields)


@pytest.fixture
def start() -> Iterator[Callable[[Worker], Loop]]:
    """`start(worker)`: its loop, which runs in a thread until the end of the test."""
    with ExitStack() as running:

        def start(worker: Worker) -> Loop:
            stopped = threading.Event()
            loop = Loop(worker, stopped)
            thread = threading.Thread(target=loop.run)
            thread.start()
            running.callback(thread.join)
            running.callback(loop.woken.set)
            running.callback(stopped.set)
            return loop

        yield start


Start = Callable[[Worker], Loop]


@contextmanager
def running(loops: Loops) -> Iterator[None]:
    threads = loops.start()
    try:
        yield
    finally:
        loops.stop()
        for thread in threads:
            thread.join(HANG_SECONDS)


def test_a_loop_without_work_waits_until_it_is_woken(start: Start) -> None:
    calls = Calls()
    loop = start(worker(calls))
    until(lambda: loop.is_idle)
    assert calls.count == 1

    loop.woken.set()

    until(lambda: calls.count == 2)


def test_a_wake_up_during_a_call_causes_another_call(start: Start) -> None:
    """The call may not have seen the row that the wake-up is about."""
    called, may_return, calls = threading.Event(), threading.Event(), Calls()

    def run_once(*, limit: int) -> int:
        called.set()
        may_return.wait(HANG_SECONDS)
        return calls(limit=limit)

    loop = start(worker(run_once))
    assert called.wait(HANG_SECONDS)

    loop.woken.set()
    may_return.set()

    until(lambda: calls.count == 2)


def test_a_full_batch_is_followed_by_the_next_call_at_once(start: Start) -> None:
    calls = Calls(handled=ROWS_AT_ONCE)

    loop = start(worker(calls))

    until(lambda: calls.count > 2)
    assert not loop.is_idle


def test_f9_the_reconciler_pauses_after_each_call_that_found_rows() -> None:
    """However long the backlog, and however often it is woken."""
    pauses = Pauses()
    loop = Loop(worker(Calls(handled=ROWS_AT_ONCE), busy_seconds=0.25), pauses)
    loop.woken.set()

    loop.run()

    assert pauses.seconds == [0.25] * 3
    assert {worker.name for worker in WORKERS if worker.busy_seconds} == {"callback_inbox", "reconciler"}


@pytest.mark.parametrize("error", [DatabaseError, RuntimeError])
def test_a_worker_that_raises_is_called_again_after_a_pause(error: type[Exception]) -> None:
    def run_once(*, limit: int) -> int:
        raise error

    pauses = Pauses()
    loop = Loop(worker(run_once), pauses)

    loop.run()

    assert pauses.seconds == [RETRY_SECONDS] * 3
    assert not loop.is_alive()


# --- Heartbeats ---


def test_a_loop_that_hangs_has_no_heartbeat(start: Start) -> None:
    """One that waits for work has, and so has one that completed a call since the heartbeat before."""
    called, may_return = threading.Event(), threading.Event()

    def run_once(*, limit: int) -> int:
        called.set()
        may_return.wait(HANG_SECONDS)
        return 0

    loop = start(worker(run_once))
    assert called.wait(HANG_SECONDS)

    assert not loop.is_alive()
    may_return.set()
    until(loop.is_alive)
    until(lambda: loop.is_idle)
    assert [loop.is_alive(), loop.is_alive()] == [True, True]


def test_one_statement_records_all_heartbeats(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    Heartbeat.objects.create(name="copier", seen_at=Now() - timedelta(hours=1))

    with django_assert_num_queries(1 + 2):  # BEGIN and COMMIT are counted.
        heartbeats.beat("reconciler", "copier")

    ages = heartbeats.ages(["copier", "reconciler"])
    assert max(ages.values()) < timedelta(minutes=1)
    assert set(ages) == {"copier", "reconciler"}


def test_a_process_records_the_heartbeats_of_its_loops() -> None:
    loops = Loops([worker(Calls())])

    def is_recorded() -> bool:
        loops.watch()
        return heartbeats.age("test") is not None

    with running(loops):
        until(is_recorded)

    assert set(Heartbeat.objects.values_list("name", flat=True)) == {"test", "worker"}


# --- Due rows ---

QUERIES = {worker.name: worker.due for worker in WORKERS if worker.due}


def due_by_orm() -> set[str]:
    return {name for name, query in QUERIES.items() if query().exists()}


def due_by_statement() -> set[str]:
    return set(DueNames({name: query() for name, query in QUERIES.items()}).find())


def test_the_statement_for_due_rows_says_what_the_orm_says(order: PlaceOrder, fal: Simulator, work: Work) -> None:
    """From step to step of an order another worker has due rows."""
    fal.always("callback:lost")
    found, expected = [due_by_statement()], [due_by_orm()]

    def compare() -> None:
        found.append(due_by_statement())
        expected.append(due_by_orm())

    generation = order()
    compare()
    work.submit()
    Generation.objects.update(next_attempt_at=Now())
    compare()
    work.until(generation.outputs.exists)
    Submission.objects.update(state=Submission.State.SURPLUS)
    compare()

    assert found == expected == [set(), {"submitter"}, {"reconciler"}, {"copier", "surplus_canceller"}]


def test_the_statement_for_due_rows_takes_one_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    due = DueNames({name: query() for name, query in QUERIES.items()})

    with django_assert_num_queries(1):
        assert due.find() == []


def test_e9_a_row_whose_wake_up_was_lost_is_found_by_the_watch(order: PlaceOrder) -> None:
    calls = Calls()
    loops = Loops([worker(calls, due=submitter.due)])

    def is_called() -> bool:
        loops.watch()
        return calls.count > 1

    with running(loops):
        until(lambda: calls.count == 1)
        order()
        until(is_called)

    assert is_called()
