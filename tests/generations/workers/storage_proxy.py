"""A proxy between Limn and its bucket that forwards, changes or refuses what is sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

from tests.services.seaweed import Bucket

_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"


class StorageProxy:
    """Forwards each connection to the bucket's server. Its attributes change what happens to new connections."""

    def __init__(self, bucket: Bucket) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = ("127.0.0.1", urlsplit(bucket.endpoint_url).port)
        self._open: set[socket.socket] = set()
        self._stopping = threading.Event()
        port = self._listener.getsockname()[1]
        self.bucket = replace(bucket, endpoint_url=f"http://127.0.0.1:{port}")
        """The bucket, reached through the proxy."""
        self.corrupts_uploads = self.corrupts_downloads = False
        """Whether FOX becomes FIX on its way to the server, or back."""
        self.refuses = self.is_silent = False
        """Whether connections are closed at once, or accepted and never answered."""
        self.busy_times = 0
        """How many requests are still to be answered with 503."""
        self.connections = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._handle, args=[connection], daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.refuses:
                return
            if self.is_silent:
                self._open.add(client)
                client.recv(65536)
                self._stopping.wait()
                return
            if self.busy_times > 0:
                self.busy_times -= 1
                client.recv(65536)
                client.sendall(_BUSY % (len(_SLOW_DOWN), _SLOW_DOWN))
                return
            with socket.create_connection(self._server) as server:
                self._open |= {client, server}
                back = threading.Thread(target=self._forward, args=[server, client, "corrupts_downloads"], daemon=True)
                back.start()
                self._forward(client, server, "corrupts_uploads")
                back.join()
                self._open -= {client, server}

    def _forward(self, source: socket.socket, sink: socket.socket, corrupts: str) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data.replace(b"FOX", b"FIX") if getattr(self, corrupts) else data)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def storage_proxy(bucket: Bucket) -> Iterator[StorageProxy]:
    """Runs a proxy in front of this bucket while the block runs."""
    proxy = StorageProxy(bucket)
    try:
        yield proxy
    finally:
        proxy.stop()
