"""Reading server-sent events, and a web server that has a few threads and no more."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIServer

import requests
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import WSGIRequestHandler
from django.db import connection

from tests.services.waiting import HANG_SECONDS


class Heard(NamedTuple):
    """One event."""

    id: str
    name: str
    data: dict[str, Any]


_EVENT = re.compile(r"id: (.+)\nevent: (.+)\ndata: (.+)\n\n")


def heard(text: str) -> list[Heard]:
    return [Heard(event_id, name, json.loads(data)) for event_id, name, data in _EVENT.findall(text)]


class Stream:
    """A connection on which events come. What has come so far is in `text`."""

    def __init__(self, url: str, token: str, last_event_id: str = "") -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        headers = {"Authorization": f"Token {token}", "Accept": "text/event-stream", "Last-Event-ID": last_event_id}
        self.response = self._session.get(url, headers=headers, stream=True, timeout=HANG_SECONDS)
        self._chunks = self.response.iter_content(chunk_size=None)
        self.text = ""

    @property
    def events(self) -> list[Heard]:
        return heard(self.text)

    def until(self, count: int) -> list[Heard]:
        """Read on until so many events have come."""
        while len(self.events) < count:
            self.text += next(self._chunks).decode()
        return self.events

    def to_the_end(self) -> list[Heard]:
        """Read on until the other side hangs up."""
        self.text += "".join(chunk.decode() for chunk in self._chunks)
        return self.events

    def close(self) -> None:
        self.response.close()
        self._session.close()


class _Silent(WSGIRequestHandler):
    """Without a line for each request."""

    def log_message(self, format: str, *args: Any) -> None: ...


class _Server(WSGIServer):
    """Serves with the threads of a pool, as a web server in production does."""

    pool: ThreadPoolExecutor
    request_queue_size = 64

    def process_request(self, request: Any, client_address: Any) -> None:
        self.pool.submit(self._serve, request, client_address)

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
            self.shutdown_request(request)
        except OSError:
            # The other side has hung up.
            self.close_request(request)
        finally:
            connection.close()


@contextmanager
def serving(threads: int) -> Iterator[str]:
    """Limn on a socket with so many threads; its address."""
    server = _Server(("127.0.0.1", 0), _Silent)
    server.set_app(WSGIHandler())
    with ThreadPoolExecutor(threads) as server.pool:
        loop = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        loop.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            loop.join()
            server.server_close()
