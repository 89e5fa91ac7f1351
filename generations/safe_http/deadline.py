"""Ends a transfer at a given time, at whatever point it has arrived.

A socket's own time-out begins again with every byte, so a server that sends a byte now and then could hold a connection
for ever. The HTTP client uses one `Deadline` for each request.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic


@dataclass
class Deadline:
    """A context manager that shuts its connections down after `seconds`, from a timer's thread.

    The transfer then fails or seems to end; `passed` tells that the deadline was the reason.
    """

    seconds: float
    _connections: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Deadline:
        self._ends_at = monotonic() + self.seconds
        self._timer = threading.Timer(self.seconds, self._shut_down)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for connection in self._connections:
            connection.close()

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return monotonic() >= self._ends_at

    def guard(self, connection: socket.socket) -> None:
        """Shut this connection down when the time is up; at once if it is up already."""
        # A duplicate, because TLS detaches the original socket object from its descriptor.
        self._connections.append(connection.dup())
        if self.passed:
            self._shut_down()

    def _shut_down(self) -> None:
        for connection in self._connections:
            # The transfer may have closed it already.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
