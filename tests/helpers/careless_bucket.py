"""An S3 server that ignores checksums, which SeaweedFS does not, and that may store other bytes than it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.services.seaweed import Bucket


class CarelessServer(ThreadingHTTPServer):
    """Keeps objects in memory, by their path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.corrupts = False
        """Whether the last byte of what is stored changes."""
        self.refuses_conditions = False
        """Whether a PUT with If-None-Match is answered with 501. Otherwise the condition is ignored."""
        self.puts = 0

    @property
    def bucket(self) -> Bucket:
        return Bucket(name="careless", endpoint_url=f"http://127.0.0.1:{self.server_port}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CarelessServer

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuses_conditions and "If-None-Match" in self.headers:
            self._answer(501)
            return
        self.server.puts += 1
        self.server.objects[self.path] = body[:-1] + bytes([body[-1] ^ 1]) if self.server.corrupts else body
        self._answer(200)

    def do_GET(self) -> None:
        if self.path in self.server.objects:
            self._answer(200, self.server.objects[self.path])
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_DELETE(self) -> None:
        self.server.objects.pop(self.path, None)
        self._answer(204)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"careless"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Write nothing."""


@contextmanager
def careless_server() -> Iterator[CarelessServer]:
    """Run a server for as long as the block lasts."""
    with CarelessServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
