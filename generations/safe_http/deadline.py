"""An end for a transfer, wherever it hangs."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic


@dataclass
class Deadline:
    """Ends a transfer when its time is up, wherever it hangs: names, handshake, headers or body.

    A socket's time-out begins anew with each byte. So a timer shuts the connection down from outside; the shutdown
    works through a duplicate, since TLS takes the socket object itself over.
    """

    seconds: float
    _guarded: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Deadline:
        self._ends_at = monotonic() + self.seconds
        self._timer = threading.Timer(self.seconds, self._shut)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for connection in self._guarded:
            connection.close()

    @property
    def passed(self) -> bool:
        return monotonic() >= self._ends_at

    def guard(self, connection: socket.socket) -> None:
        self._guarded.append(connection.dup())
        if self.passed:
            self._shut()

    def _shut(self) -> None:
        for connection in self._guarded:
            with suppress(OSError):  # closed already: that is what we want
                connection.shutdown(socket.SHUT_RDWR)
