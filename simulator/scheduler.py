"""Things that happen later, on a few background threads."""

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


class Timers:
    """Runs actions after a while. The threads are daemons: nothing here delays the end of the program."""

    def __init__(self, *, workers: int) -> None:
        self._due: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._ready: queue.SimpleQueue[tuple[int, Action] | None] = queue.SimpleQueue()
        self._workers = workers
        self._working = 0
        self._era = 0
        self._stopped = False
        threads = [self._watch, *[self._work] * workers]
        for target in threads:
            threading.Thread(target=target, daemon=True, name="simulator-timers").start()

    def after(self, seconds: float, action: Action) -> None:
        if seconds <= 0:
            self._ready.put((self._era, action))
            return
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), action))
            self._changed.notify()

    def clear(self, *, seconds_max: float = 0) -> None:
        """Forget what has not begun, and wait so long for the end of what has."""
        with self._changed:
            self._era += 1
            self._due.clear()
            self._changed.wait_for(lambda: not self._working, timeout=seconds_max)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._due.clear()
            self._changed.notify()
        for _ in range(self._workers):
            self._ready.put(None)

    def _watch(self) -> None:
        while not self._stopped:
            with self._changed:
                action = self._next_due()
                if action is not None:
                    self._ready.put((self._era, action))

    def _next_due(self) -> Action | None:
        if not self._due:
            self._changed.wait()
            return None
        seconds = self._due[0][0] - time.monotonic()
        if seconds > 0:
            self._changed.wait(seconds)
            return None
        return heapq.heappop(self._due)[2]

    def _work(self) -> None:
        while (ready := self._ready.get()) is not None:
            if self._stopped:
                return
            era, action = ready
            if self._begins(era):
                try:
                    action()
                except Exception:
                    # One bad action must not silence the others; after the end nobody wants to hear of it.
                    if not self._stopped:
                        traceback.print_exc(file=sys.stderr)
                finally:
                    self._ended()

    def _begins(self, era: int) -> bool:
        """Whether nobody has forgotten the action while it waited for a thread."""
        with self._changed:
            current = era == self._era
            self._working += current
            return current

    def _ended(self) -> None:
        with self._changed:
            self._working -= 1
            self._changed.notify_all()
