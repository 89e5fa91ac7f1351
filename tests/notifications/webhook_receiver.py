"""An HTTP server on a loopback address that receives webhooks: it records the requests and answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from tests.services.waiting import HANG_SECONDS

PATH = "/webhooks"


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    def verify(self, secret: str) -> Any:
        """The message, verified by the library of Standard Webhooks. Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


class Receiver:
    """The state of the server, which a test reads and changes."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}{PATH}"
        self.received: list[Received] = []
        self.answers: list[Answer] = []
        """The next answers. Requests after them are answered with 204."""
        self.may_answer = threading.Event()
        """While it is not set, the server does not answer."""
        self.may_answer.set()

    @property
    def ids(self) -> list[str]:
        """The webhook-id of each request."""
        return [request.headers["webhook-id"] for request in self.received]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Runs a receiver within the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body))
            receiver.may_answer.wait(HANG_SECONDS)
            answer = receiver.answers.pop(0) if receiver.answers else Answer(204)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()
