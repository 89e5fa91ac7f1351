"""Runs functions later, on a fixed number of background threads.

The job queue and the callback sender schedule everything that happens after a response: the start and end of a job,
callbacks and their retries. All threads are daemons, so that nothing scheduled delays the end of the process.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable

Action = Callable[[], object]


class Scheduler:
    """One thread watches the clock and hands due actions to the worker threads."""

    def __init__(self, *, workers: int) -> None:
        self._pending: list[tuple[float, int, Action]] = []
        # Breaks ties of the heap: functions cannot be compared.
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._ready: queue.SimpleQueue[tuple[int, Action] | None] = queue.SimpleQueue()
        self._workers = workers
        self._running = 0
        # `clear` starts a new generation; actions of an older one are not run.
        self._generation = 0
        self._stopped = False
        for target in [self._watch_clock, *[self._work] * workers]:
            threading.Thread(target=target, daemon=True, name="simulator-scheduler").start()

    def call_later(self, seconds: float, action: Action) -> None:
        """Run `action` on a worker thread after `seconds` of real time; at once if that is 0 or less."""
        if seconds <= 0:
            # Without a detour through the thread that watches the clock, so that the order of calls is kept.
            self._ready.put((self._generation, action))
            return
        with self._changed:
            heapq.heappush(self._pending, (time.monotonic() + seconds, next(self._numbers), action))
            self._changed.notify()

    def clear(self, *, wait_seconds: float = 0) -> None:
        """Drop all actions that have not started, and wait up to `wait_seconds` for the running ones to end."""
        with self._changed:
            self._generation += 1
            self._pending.clear()
            self._changed.wait_for(lambda: not self._running, timeout=wait_seconds)

    def stop(self) -> None:
        """Drop all actions and end the threads. Running actions are not waited for."""
        with self._changed:
            self._stopped = True
            self._pending.clear()
            self._changed.notify()
        for _ in range(self._workers):
            self._ready.put(None)

    def _watch_clock(self) -> None:
        while not self._stopped:
            with self._changed:
                if not self._pending:
                    self._changed.wait()
                elif (seconds := self._pending[0][0] - time.monotonic()) > 0:
                    # Woken early if an action is added that is due sooner.
                    self._changed.wait(seconds)
                else:
                    self._ready.put((self._generation, heapq.heappop(self._pending)[2]))

    def _work(self) -> None:
        while (ready := self._ready.get()) is not None:
            if self._stopped:
                return
            generation, action = ready
            with self._changed:
                # Checked under the lock: after `clear` has returned, no older action may start.
                if generation != self._generation:
                    continue
                self._running += 1
            try:
                action()
            except Exception:
                # An error must not end the thread. After `stop`, errors are expected: the log is closed.
                if not self._stopped:
                    traceback.print_exc(file=sys.stderr)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()
