"""Sockets: reads HTTP/1.1 requests on loopback and sends what the router answers."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from simulator.http_messages import Call, Line, Reply, as_json, without_body

Router = Callable[[Call], Reply]

BODY_BYTES_MAX = 64 * 1024**2
KEEP_ALIVE_SECONDS = 60
NO_LENGTH = f"A body needs a Content-Length of at most {BODY_BYTES_MAX} bytes."


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection; all of them end with the program."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), Handler)
        self.stopping = threading.Event()
        self.router: Router = _not_ready
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="simulator-server")

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        if self._thread.is_alive():
            self._wake()
            self._thread.join()
        self.server_close()
        for connection in list(self._open):
            # Idle keep-alive connections would hold their threads until the client lets go.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while not self.stopping.is_set():
            self.handle_request()

    def _wake(self) -> None:
        """One last visitor: the standard library's own way to stop would have to look at the clock all the time."""
        with contextlib.suppress(OSError):
            socket.create_connection(self.socket.getsockname()[:2], timeout=1).close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are ordinary here; our own bugs are answered with a 500 in the handler."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection. Parsing is the standard library's; sending is ours (wire.py)."""

    protocol_version = "HTTP/1.1"
    timeout = KEEP_ALIVE_SECONDS
    disable_nagle_algorithm = True
    server: Server

    def do_any(self) -> None:
        call = self._call()
        reply = self._answer(call) if call else as_json({"detail": NO_LENGTH}, 411)
        send = without_body if self.command == "HEAD" else reply.manner
        try:
            reusable = send(Line(socket=self.connection, stopping=self.server.stopping), reply)
        except OSError:
            reusable = False
        self.close_connection = self.close_connection or not reusable or call is None

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_any

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the log knows more."""

    def _answer(self, call: Call) -> Reply:
        try:
            return self.server.router(call)
        except Exception as error:
            if self.server.stopping.is_set():
                return as_json({"detail": "The simulator is ending."}, 503)
            return as_json({"detail": f"The simulator itself failed: {error!r}"}, 500)

    def _call(self) -> Call | None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit() or int(length) > BODY_BYTES_MAX:
            return None
        address = urlsplit(self.path)
        return Call(
            method=self.command,
            path=unquote(address.path),
            query=dict(parse_qsl(address.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(length)),
        )


def _not_ready(call: Call) -> Reply:
    return as_json({"detail": "The simulator is starting."}, 503)
