"""Servers on loopback that answer as they are told, byte by byte; and names that lead where a test wants them."""

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
    """One connection of a client, its request read."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self.connection = connection
        self._stopping = stopping
        self.request = b""
        while b"\r\n\r\n" not in self.request and (more := connection.recv(65536)):
            self.request += more

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def pause(self, seconds: float) -> bool:
        """Wait, unless the test is over. Whether to go on."""
        return not self._stopping.wait(seconds)


class Server:
    """Counts who connects, and keeps what they asked."""

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
        # Whoever hangs up on us is what the test is about.
        with suppress(OSError), connection:
            talk = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with talk:
                visit = Visit(talk, self.stopping)
                self.requests.append(visit.request)
                self._behave(visit)


@contextmanager
def serving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(behave, tls)
    try:
        yield server
    finally:
        server.stop()


def says(*lines: str, body: bytes = b"") -> Behaviour:
    """Answers with these header lines ("200 OK" first) and this body, and hangs up."""
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
    """Fetch from `server`, which the operator has allowed by its port."""
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
    """A resolver under our control, and a record of who was asked for and who was dialled."""

    def __init__(self, resolve: Callable[..., object], dial: Callable[..., socket.socket]) -> None:
        self._resolve, self._dial = resolve, dial
        self._addresses: dict[str, Iterator[Sequence[str]]] = {}
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []

    def lead(self, name: str, *answers: Sequence[str]) -> None:
        """Each question for `name` gets the next answer."""
        self._addresses[name] = iter(answers)

    def getaddrinfo(self, host: str, port: int, *args: object, **options: object) -> object:
        if host not in self._addresses:
            if not host.replace(".", "").isdigit():
                self.asked.append(host)
            return self._resolve(host, port, *args, **options)
        self.asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in next(self._addresses[host])]

    def create_connection(self, address: tuple[str, int], *args: object, **options: object) -> socket.socket:
        self.dialled.append(address)
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError("Beyond this machine nobody answers.")
        return self._dial(address, *args, **options)
