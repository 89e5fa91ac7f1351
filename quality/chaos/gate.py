"""A gate: lets threads act, one step each at a time, until another thread closes it.

Load clients, checks and the replayer take their steps through it. A restore of the database closes it, so that no
thread compares an answer from before the restore with one from after it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Any number of steps at the same time, or one closing."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._steps = 0
        self._is_closed = False

    @contextmanager
    def step(self) -> Iterator[None]:
        """Wait while the gate is closed, and keep it from closing during the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)
            self._steps += 1
        try:
            yield
        finally:
            with self._changed:
                self._steps -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Let no further step begin, and wait for the end of those in progress. Open again after the block."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._steps)
        try:
            yield
        finally:
            with self._changed:
                self._is_closed = False
                self._changed.notify_all()
