"""The background work of `manage.py work`, in the test's own thread and one turn at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.models.functions import Now

from generations.models import Erasure, Generation, Output
from generations.provider import clients
from generations.workers import copier, eraser, reconciler, submitter
from tests.services.waiting import until


class Work:
    def submit(self) -> int:
        _make_due(Generation)
        return submitter.run_once(limit=10)

    def ask_fal(self) -> int:
        _make_due(Generation)
        return reconciler.run_once(limit=10)

    def copy(self) -> int:
        _make_due(Output)
        return copier.run_once(limit=10)

    def erase(self) -> int:
        _make_due(Erasure)
        return eraser.run_once(limit=10)

    def until(self, condition: Callable[[], object]) -> None:
        """Turn after turn, until the condition holds."""

        def turn() -> bool:
            # Looked at before each step, so that nothing goes further than the test wants.
            for step in (self.submit, self.ask_fal, self.copy):
                if condition():
                    return True
                step()
            return bool(condition())

        until(turn)

    def to_the_end(self, generation: Generation) -> Generation:
        """Until the generation is completed or failed."""

        def done() -> bool:
            generation.refresh_from_db()
            return generation.is_done

        self.until(done)
        return generation


@contextmanager
def at_work() -> Iterator[None]:
    """The background work goes on beside the test, in a thread of its own."""
    stop = threading.Event()

    def turns() -> None:
        work = Work()
        while not stop.wait(0.02):
            work.submit(), work.ask_fal(), work.copy(), work.erase()
        connection.close()
        clients.close()

    thread = threading.Thread(target=turns)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _make_due(rows: type[Generation] | type[Output] | type[Erasure]) -> None:
    """Nobody waits for a back-off in a test: what is due later is due now."""
    rows.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=Now(), leased_until=None)
