"""Servers on loopback that send what a test wants, byte by byte, and a resolver of names under its control."""

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

WAIT_SECONDS_MAX = 10

Behaviour = Callable[["Visit"], None]


class Visit:
    """One connection, after the request has been read."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self.connection = connection
        self._stopping = stopping
        self.request = b""
        while b"\r\n\r\n" not in self.request and (more := connection.recv(65536)):
            self.request += more

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def pause(self, seconds: float) -> bool:
        """Wait. Returns False if the test is over."""
        return not self._stopping.wait(seconds)


class Server:
    """Counts its connections and keeps the requests."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._behave, self._tls = behave, tls
        self._threads = [threading.Thread(target=self._listen)]
        self.stopping = threading.Event()
        self.port = int(self._listening.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.host = f"127.0.0.1:{self.port}"
        self.connections = 0
        self.requests: list[bytes] = []
        self._threads[0].start()

    def stop(self) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(HANG_SECONDS)

    def _listen(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=[connection]))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(HANG_SECONDS)
        # Tests are about clients that end the connection.
        with suppress(OSError), connection:
            talk = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with talk:
                visit = Visit(talk, self.stopping)
                self.requests.append(visit.request)
                self._behave(visit)


@contextmanager
def serving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server that treats each connection as `behave` does."""
    server = Server(behave, tls)
    try:
        yield server
    finally:
        server.stop()


def says(*lines: str, body: bytes = b"") -> Behaviour:
    """Sends these header lines ("200 OK" first) and this body, and closes the connection."""
    head = "HTTP/1.1 " + "\r\n".join([*lines, "", ""])
    return lambda visit: visit.send(head.encode("latin-1") + body)


def fetch(
    server: Server,
    *,
    host: str = "",
    also_from: str = "",
    scheme: str = "http",
    bytes_max: int = 1_000_000,
    seconds_max: float = HANG_SECONDS,
) -> tuple[bytes, Fetched]:
    """Fetch a file from `server`, whose host and port the operator allows."""
    where = f"{host or '127.0.0.1'}:{server.port}"
    sink = io.BytesIO()
    fetched = http_client.fetch(
        f"{scheme}://{where}/file",
        sink,
        hosts=[where, also_from or where],
        bytes_max=bytes_max,
        seconds_max=seconds_max,
    )
    return sink.getvalue(), fetched


class Names:
    """Replaces the resolver, and records which names are resolved and which addresses are connected to.

    Only connections to this machine succeed.
    """

    def __init__(self, resolve: Callable[..., object], connect: Callable[..., socket.socket]) -> None:
        self._resolve, self._connect = resolve, connect
        self._addresses: dict[str, Iterator[Sequence[str]]] = {}
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []

    def resolve_to(self, name: str, *answers: Sequence[str]) -> None:
        """Resolve `name` to the addresses of the next answer, each time it is resolved."""
        self._addresses[name] = iter(answers)

    def getaddrinfo(self, host: str, port: int, *args: object, **options: object) -> object:
        if host not in self._addresses:
            if not host.replace(".", "").isdigit():
                self.resolved.append(host)
            return self._resolve(host, port, *args, **options)
        self.resolved.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in next(self._addresses[host])]

    def create_connection(self, address: tuple[str, int], *args: object, **options: object) -> socket.socket:
        self.connected.append(address)
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError("Tests connect to this machine only.")
        return self._connect(address, *args, **options)
