"""Runs the workers of `manage.py work` one step at a time, in the thread of the test."""

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
    """One method for each worker: it makes every waiting row due, runs the worker once, and returns the number of
    rows."""

    def submit(self) -> int:
        _make_due(Generation)
        return submitter.run_once(limit=10)

    def reconcile(self) -> int:
        _make_due(Generation)
        return reconciler.run_once(limit=10)

    def copy(self) -> int:
        _make_due(Output)
        return copier.run_once(limit=10)

    def erase(self) -> int:
        _make_due(Erasure)
        return eraser.run_once(limit=10)

    def until(self, condition: Callable[[], object]) -> None:
        """Runs the submitter, the reconciler and the copier in turn until the condition holds."""

        def run_each_worker() -> bool:
            # Checked before each step, so that no generation goes further than the test needs.
            for step in (self.submit, self.reconcile, self.copy):
                if condition():
                    return True
                step()
            return bool(condition())

        until(run_each_worker)

    def until_done(self, generation: Generation) -> Generation:
        """Runs the workers until the generation is completed or failed. Returns it with its current values."""

        def is_done() -> bool:
            generation.refresh_from_db()
            return generation.is_done

        self.until(is_done)
        return generation


@contextmanager
def running_workers() -> Iterator[None]:
    """Runs all workers in another thread while the block runs."""
    stop = threading.Event()

    def run() -> None:
        work = Work()
        while not stop.wait(0.02):
            work.submit(), work.reconcile(), work.copy(), work.erase()
        connection.close()
        clients.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _make_due(rows: type[Generation] | type[Output] | type[Erasure]) -> None:
    """Makes every row that waits due now, so that no test waits for a backoff or for a lease to run out."""
    rows.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=Now(), leased_until=None)
