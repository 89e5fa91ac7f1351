"""A customer's program on loopback that is told things: it keeps what it got, and answers as it is bidden."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from tests.services.waiting import HANG_SECONDS


class Got(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> Any:
        """What it says, checked by Standard Webhooks' own library."""
        return Webhook(secret).verify(self.body, self.headers)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


class Receiver:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/told"
        self.got: list[Got] = []
        self.answers: list[Answer] = []
        """The next ones; then 204."""
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def ids(self) -> list[str]:
        return [got.headers["webhook-id"] for got in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(Got(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
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
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        server.shutdown()
        serving.join()
        server.server_close()
