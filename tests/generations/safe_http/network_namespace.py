"""A machine of one's own: a network namespace where private addresses exist, and everybody who is dialled counts it.

A program: `unshare --net --mount … python -m tests.generations.safe_http.network_namespace` prints, as JSON, how each
fetch ended and who was called. In there `lo` owns 10.0.0.1, the metadata address and fd00::1, and /etc/hosts names them
like fal's hosts.
"""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import cycle
from threading import Thread

from generations.safe_http import client as http_client

PRIVATE = ("10.0.0.1", "169.254.169.254", "192.168.7.7", "fd00::1")
PORTS = (80, 443, 8443)
HOSTS = """
127.0.0.1 localhost
10.0.0.1 v1.fal.media
169.254.169.254 v2.fal.media
fd00::1 v3.fal.media
127.0.0.1 v4.fal.media
1.1.1.1 v5.fal.media
10.0.0.1 v5.fal.media
"""
ALLOWED = ["*.fal.media", "127.0.0.1:8443", "10.0.0.1:8443"]
FOX = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nfox"
REBINDINGS = 1000


def main() -> None:
    _settle()
    called: Counter[str] = Counter()
    for address in ("127.0.0.1", *PRIVATE):
        for port in PORTS:
            _listen(address, port, called)
    ends = {url: _fetch(url) for url in sys.argv[1:]}
    denied = {address: count for address, count in called.items() if "8443" not in address}
    print(json.dumps({"ends": ends, "denied": denied, "allowed": called, "rebound": _rebind(called)}))  # noqa: T201


def _settle() -> None:
    """Give the private addresses to this island, and names to them."""
    for command in ("link set lo up", *(f"address add {address} dev lo" for address in PRIVATE)):
        subprocess.run(["ip", *command.split()], check=True)
    with tempfile.NamedTemporaryFile("w", suffix="hosts") as hosts:
        hosts.write(HOSTS)
        hosts.flush()
        subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)


def _listen(address: str, port: int, called: Counter[str]) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.create_server((address, port), family=family)
    Thread(target=_answer, args=[listening, f"{address}:{port}", called], daemon=True).start()


def _answer(listening: socket.socket, name: str, called: Counter[str]) -> None:
    while True:
        connection, _ = listening.accept()
        called[name] += 1
        with connection:
            connection.recv(65536)
            connection.sendall(FOX)


def _fetch(url: str) -> str:
    sink = io.BytesIO()
    try:
        http_client.fetch(url, sink, hosts=ALLOWED, bytes_max=1000, seconds_max=60)
    except http_client.FetchError as error:
        return type(error).__name__
    return sink.getvalue().decode()


def _rebind(called: Counter[str]) -> dict[str, int]:
    """A name that is public at one question and private at the next. How the fetches ended, and new calls."""
    answers = cycle(["1.1.1.1", "10.0.0.1"])

    def resolve(host: str, port: int, *args: object, **options: object) -> list[object]:
        # As everywhere, an address is its own answer.
        address = next(answers) if host.startswith("v") else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    socket.getaddrinfo = resolve  # type: ignore[assignment]
    before = called["10.0.0.1:443"]
    ends = Counter(_fetch("https://v9.fal.media/x") for _ in range(REBINDINGS))
    return {**ends, "calls": called["10.0.0.1:443"] - before}


if __name__ == "__main__":
    main()
