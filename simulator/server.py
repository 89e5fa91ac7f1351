"""The HTTP/1.1 server: reads requests, calls the application, and sends the response that it returns.

`Simulator` owns one `Server`. Parsing is the standard library's; sending is `HttpResponse.send`, so that a response
can be dropped, cut or stalled in ways that a framework would not allow.
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from simulator.http_messages import Connection, HttpRequest, HttpResponse, json_response, send_head_only

Application = Callable[[HttpRequest], HttpResponse]

BODY_BYTES_MAX = 64 * 1024**2
KEEP_ALIVE_SECONDS = 60
LENGTH_REQUIRED = f"A body needs a Content-Length of at most {BODY_BYTES_MAX} bytes."


class Server(socketserver.ThreadingTCPServer):
    """Serves each connection in a daemon thread of its own."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    # Tests open hundreds of connections at once; the default backlog of 5 would refuse most of them.
    request_queue_size = 512

    def __init__(self, host: str, port: int) -> None:
        """Bind the port (0: any free one). `application` must be set before `start`."""
        super().__init__((host, port), ConnectionHandler)
        self.stopping = threading.Event()
        self.application: Application = lambda http_request: json_response(
            {"detail": "The simulator is starting."}, 503
        )
        self._open_sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="simulator-server")

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Accept connections in a background thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, end stalled responses, and close all connections."""
        self.stopping.set()
        if self._thread.is_alive():
            # A last connection wakes the accepting thread. The standard library's shutdown() would need
            # serve_forever, which polls all the time.
            with contextlib.suppress(OSError):
                socket.create_connection(self.socket.getsockname()[:2], timeout=1).close()
            self._thread.join()
        self.server_close()
        for connection in list(self._open_sockets):
            # An idle keep-alive connection would hold its thread until the client closes it.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open_sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open_sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up. Errors of handlers are answered with a 500 by ConnectionHandler."""

    def _serve(self) -> None:
        while not self.stopping.is_set():
            self.handle_request()


class ConnectionHandler(http.server.BaseHTTPRequestHandler):
    """Reads and answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = KEEP_ALIVE_SECONDS
    disable_nagle_algorithm = True
    server: Server

    def do_any(self) -> None:
        """Answer one request of any method."""
        length = self.headers.get("Content-Length", "0")
        # Chunked bodies are not supported: no client of fal's sends them.
        is_readable = "Transfer-Encoding" not in self.headers and length.isdigit() and int(length) <= BODY_BYTES_MAX
        if is_readable:
            url = urlsplit(self.path)
            http_request = HttpRequest(
                method=self.command,
                path=unquote(url.path),
                query=dict(parse_qsl(url.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(int(length)),
            )
            response = self._respond(http_request)
        else:
            response = json_response({"detail": LENGTH_REQUIRED}, 411)
        send = send_head_only if self.command == "HEAD" else response.send
        try:
            reusable = send(Connection(socket=self.connection, stopping=self.server.stopping), response)
        except OSError:
            reusable = False
        # A body that was not read would be taken for the next request.
        self.close_connection = self.close_connection or not reusable or not is_readable

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_any

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the Log records every request with more detail."""

    def _respond(self, http_request: HttpRequest) -> HttpResponse:
        try:
            return self.server.application(http_request)
        except Exception as error:
            if self.server.stopping.is_set():
                # The log may be closed already; that is no fault of the handler.
                return json_response({"detail": "The simulator is stopping."}, 503)
            return json_response({"detail": f"The simulator itself failed: {error!r}"}, 500)
