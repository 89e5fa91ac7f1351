"""Somebody on the line between Limn and its bucket: he carries, changes or refuses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

from tests.services.seaweed import Bucket

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"


class Between:
    """Carries each connection to the bucket's server. Its attributes say what it does to them from now on."""

    def __init__(self, bucket: Bucket) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._there = ("127.0.0.1", urlsplit(bucket.endpoint_url).port)
        self._open: set[socket.socket] = set()
        self._stopping = threading.Event()
        port = self._listening.getsockname()[1]
        self.bucket = replace(bucket, endpoint_url=f"http://127.0.0.1:{port}")
        self.spoils_up = self.spoils_down = False
        """Whether FOX becomes FIX on its way to the server, or back."""
        self.refuses = self.is_silent = False
        self.busy_times = 0
        self.connections = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._carry, args=[connection], daemon=True).start()

    def _carry(self, here: socket.socket) -> None:
        with here, suppress(OSError):
            if self.refuses:
                return
            if self.is_silent:
                self._open.add(here)
                here.recv(65536)
                self._stopping.wait()
                return
            if self.busy_times > 0:
                self.busy_times -= 1
                here.recv(65536)
                here.sendall(_BUSY % (len(SLOW_DOWN), SLOW_DOWN))
                return
            with socket.create_connection(self._there) as there:
                self._open |= {here, there}
                back = threading.Thread(target=self._pump, args=[there, here, "spoils_down"], daemon=True)
                back.start()
                self._pump(here, there, "spoils_up")
                back.join()
                self._open -= {here, there}

    def _pump(self, source: socket.socket, sink: socket.socket, spoils: str) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data.replace(b"FOX", b"FIX") if getattr(self, spoils) else data)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def between(bucket: Bucket) -> Iterator[Between]:
    somebody = Between(bucket)
    try:
        yield somebody
    finally:
        somebody.stop()
