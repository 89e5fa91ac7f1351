"""Ends a transfer at a given time, at whatever point it has arrived.

A socket's own time-out begins again with every byte, so a server that sends a byte now and then could hold a connection
for ever. The HTTP client uses one `Deadline` for each request.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from time import monotonic


class Deadline:
    """A context manager that shuts its connections down after `seconds`, from the thread of `_Watch`.

    The transfer then fails or seems to end; `passed` tells that the deadline was the reason.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Deadline:
        self.ends_at = monotonic() + self.seconds
        _watch.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        _watch.remove(self)
        for connection in self._connections:
            connection.close()

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return monotonic() >= self.ends_at

    def guard(self, connection: socket.socket) -> None:
        """Shut this connection down when the time is up; at once if it is up already.

        Args:
            connection: A plain socket, not one of TLS. The caller may close it.
        """
        self._connections.append(connection.dup())
        if self.passed:
            self.shut_down()

    def shut_down(self) -> None:
        """End all transfers."""
        for connection in self._connections:
            # The transfer may have closed it already.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Watch:
    """The thread of this process that ends transfers. One for all, because most end long before their time."""

    def __init__(self) -> None:
        self._running: set[Deadline] = set()
        self._wakes_at = 0.0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline) -> None:
        with self._changed:
            self._running.add(deadline)
            # A process that was forked has no thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, daemon=True, name="deadlines")
                self._thread.start()
            elif deadline.ends_at < self._wakes_at:
                self._changed.notify()

    def remove(self, deadline: Deadline) -> None:
        with self._changed:
            self._running.discard(deadline)

    def _run(self) -> None:
        while True:
            with self._changed:
                passed = {deadline for deadline in self._running if deadline.passed}
                self._running -= passed
                if not passed:
                    self._wakes_at = min((deadline.ends_at for deadline in self._running), default=float("inf"))
                    self._changed.wait(None if not self._running else self._wakes_at - monotonic())
            for deadline in passed:
                deadline.shut_down()


_watch = _Watch()
