"""Wake-ups: hints that tell a loop of `manage.py work` to look at its table now.

A wake-up names a loop and carries no work: the tables decide what is to be done. Losing one is harmless, and so is
receiving one twice, since every loop looks at its table by itself as well. In the process of `manage.py work` a wake-up
sets the loop's event. From any other process it is sent as a queue message by a thread, so no caller waits for the
queue.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django_tasks import task

from generations.models import Generation

logger = logging.getLogger(__name__)

# After a message, the thread collects wake-ups for this time. So a burst of callbacks costs a few messages, and the
# first one of a burst is not delayed.
COLLECT_SECONDS = 0.04

_events: dict[str, threading.Event] = {}
"""The events of the loops that run in this process, by the name of the loop."""


def wake(name: str) -> None:
    """Wake the loop `name` of `manage.py work`, in whichever process it runs, once the transaction is committed."""
    # What is committed stays so: losing a wake-up is no error.
    transaction.on_commit(partial(_wake_now, name), robust=True)


def enqueue_reconcile(generation_id: UUID) -> None:
    """Make the generation due now, and wake the reconciler, which asks fal about it."""
    Generation.objects.in_progress().filter(pk=generation_id, next_attempt_at__gt=Now()).update(next_attempt_at=Now())
    wake("reconciler")


def run_here(events: Mapping[str, threading.Event]) -> None:
    """Make wake-ups of these loops set their events, because the loops run in this process."""
    _events.update(events)


@task()
def wake_loops(names: list[str]) -> None:
    """Set the events of the loops. The queue runs this in a process of `manage.py work`."""
    for name in names:
        if name in _events:
            _events[name].set()


def _wake_now(name: str) -> None:
    if name in _events:
        _events[name].set()
    else:
        _sender.add(name)


class Sender:
    """Passes names to `send` from a thread, several at once if they come in quick succession."""

    def __init__(self, send: Callable[[list[str]], object]) -> None:
        self._send = send
        self._names: set[str] = set()
        self._lock = threading.Lock()
        self._is_needed = threading.Event()
        # Never set. Unlike time.sleep, waiting for it raises nothing where the process has a wrong clock.
        self._pause = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, name: str) -> None:
        """Send the name soon. Returns at once."""
        with self._lock:
            self._names.add(name)
            # A process that was forked has no thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, daemon=True, name="wake-ups")
                self._thread.start()
        self._is_needed.set()

    def _run(self) -> None:
        while self._is_needed.wait():
            self._is_needed.clear()
            with self._lock:
                names, self._names = sorted(self._names), set()
            if not names:
                continue  # Added after the clear, and sent already.
            try:
                self._send(names)
            except Exception:
                # The queue is unavailable. The loops look at their tables within a second.
                logger.warning("a queue message was lost", extra={"loops": " ".join(names)}, exc_info=True)
            self._pause.wait(COLLECT_SECONDS)


def _send(names: Iterable[str]) -> None:
    wake_loops.enqueue(list(names))


_sender = Sender(_send)
