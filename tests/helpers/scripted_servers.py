"""Servers on the loopback interface that respond byte by byte as a test wants, and a resolver that a test controls."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from generations.safe_http import client as http_client
from generations.safe_http.client import Fetched
from tests.services.waiting import HANG_SECONDS

Handler = Callable[["Connection"], None]


class Connection:
    """One connection of a client. `request` holds the head of its request, and perhaps some of its body."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self.socket = connection
        self._stopping = stopping
        self.request = b""
        while b"\r\n\r\n" not in self.request and (data := connection.recv(65536)):
            self.request += data

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def pause(self, seconds: float) -> bool:
        """Waits, but not beyond the end of the test. Returns whether the handler should continue."""
        return not self._stopping.wait(seconds)


class Server:
    """Handles each connection in a thread. Counts the connections, and keeps their requests."""

    def __init__(self, handle: Handler, tls: ssl.SSLContext | None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._handle, self._tls = handle, tls
        self._threads = [threading.Thread(target=self._listen)]
        self.stopping = threading.Event()
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.host = f"127.0.0.1:{self.port}"
        self.connections = 0
        self.closed = 0
        """How many connections the server has closed."""
        self.requests: list[bytes] = []
        self._threads[0].start()

    def stop(self) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(HANG_SECONDS)

    def _listen(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=[connection]))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(HANG_SECONDS)
        # Many tests are about clients that close the connection early.
        with suppress(OSError), connection:
            stream = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with stream:
                client = Connection(stream, self.stopping)
                self.requests.append(client.request)
                self._handle(client)
        self.closed += 1


@contextmanager
def serving(handle: Handler, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Runs a server while the block runs."""
    server = Server(handle, tls)
    try:
        yield server
    finally:
        server.stop()


def respond(*lines: str, body: bytes = b"") -> Handler:
    """A handler that sends a status ("200 OK"), header lines and a body, and closes the connection."""
    head = "HTTP/1.1 " + "\r\n".join([*lines, "", ""])
    return lambda connection: connection.send(head.encode("latin-1") + body)


def fetch(
    server: Server,
    *,
    host: str = "",
    also_from: str = "",
    scheme: str = "http",
    bytes_max: int = 1_000_000,
    seconds_max: float = HANG_SECONDS,
) -> tuple[bytes, Fetched]:
    """Fetches a file from `server` with the safe HTTP client, which is allowed to contact its port."""
    allowed = f"{host or '127.0.0.1'}:{server.port}"
    sink = io.BytesIO()
    fetched = http_client.fetch(
        f"{scheme}://{allowed}/file",
        sink,
        hosts=[allowed, also_from or allowed],
        bytes_max=bytes_max,
        seconds_max=seconds_max,
    )
    return sink.getvalue(), fetched


class ScriptedResolver:
    """Resolves names to the addresses that a test chooses. Records the lookups and the connections."""

    def __init__(self, resolve: Callable[..., object], connect: Callable[..., socket.socket]) -> None:
        self._resolve, self._connect = resolve, connect
        self._answers: dict[str, Iterator[Sequence[str]]] = {}
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []

    def resolve_to(self, name: str, *answers: Sequence[str]) -> None:
        """Each lookup of `name` gets the next one of these lists of addresses."""
        self._answers[name] = iter(answers)

    def getaddrinfo(self, host: str, port: int, *args: object, **options: object) -> object:
        if host not in self._answers:
            if not host.replace(".", "").isdigit():
                self.resolved.append(host)
            return self._resolve(host, port, *args, **options)
        self.resolved.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in next(self._answers[host])]

    def create_connection(self, address: tuple[str, int], *args: object, **options: object) -> socket.socket:
        self.connected.append(address)
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError("In tests, only this machine accepts connections.")
        return self._connect(address, *args, **options)
