"""Reads server-sent events, and runs a web server with a fixed number of threads."""

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


class ReceivedEvent(NamedTuple):
    """One event, with its data decoded."""

    id: str
    name: str
    data: dict[str, Any]


_EVENT = re.compile(r"id: (.+)\nevent: (.+)\ndata: (.+)\n\n")


def parse_events(text: str) -> list[ReceivedEvent]:
    """The events in the text of a stream."""
    return [ReceivedEvent(event_id, name, json.loads(data)) for event_id, name, data in _EVENT.findall(text)]


class Stream:
    """An open stream. `text` is what has been received so far."""

    def __init__(self, url: str, token: str, last_event_id: str = "") -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        headers = {"Authorization": f"Token {token}", "Accept": "text/event-stream", "Last-Event-ID": last_event_id}
        self.response = self._session.get(url, headers=headers, stream=True, timeout=HANG_SECONDS)
        self._chunks = self.response.iter_content(chunk_size=None)
        self.text = ""

    @property
    def events(self) -> list[ReceivedEvent]:
        return parse_events(self.text)

    def read_until(self, count: int) -> list[ReceivedEvent]:
        """Reads until `count` events have been received. Raises StopIteration if the stream ends before."""
        while len(self.events) < count:
            self.text += next(self._chunks).decode()
        return self.events

    def read_to_the_end(self) -> list[ReceivedEvent]:
        """Reads until the server ends the stream."""
        self.text += "".join(chunk.decode() for chunk in self._chunks)
        return self.events

    def close(self) -> None:
        self.response.close()
        self._session.close()


class _QuietHandler(WSGIRequestHandler):
    """Logs no line for each request."""

    def log_message(self, format: str, *args: Any) -> None: ...


class _Server(WSGIServer):
    """Serves with a pool of threads, as the web server in production does."""

    pool: ThreadPoolExecutor
    request_queue_size = 64

    def process_request(self, request: Any, client_address: Any) -> None:
        self.pool.submit(self._serve, request, client_address)

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
            self.shutdown_request(request)
        except OSError:
            # The client has disconnected.
            self.close_request(request)
        finally:
            connection.close()


@contextmanager
def serving(threads: int) -> Iterator[str]:
    """Serves Limn with this number of threads. Yields its URL."""
    server = _Server(("127.0.0.1", 0), _QuietHandler)
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
