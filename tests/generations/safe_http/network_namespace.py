"""Fetches in a network namespace where private addresses exist and have servers that count connections.

A program for `test_network_namespace`: `unshare --net --mount … python -m` this module, with URLs as arguments, prints
as JSON how each fetch ended and which servers were contacted. In the namespace, `lo` has the addresses of `PRIVATE`,
and /etc/hosts gives them names of fal's hosts.
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
    configure_network()
    calls: Counter[str] = Counter()
    for address in ("127.0.0.1", *PRIVATE):
        for port in PORTS:
            listen(address, port, calls)
    outcomes = {url: fetch(url) for url in sys.argv[1:]}
    denied = {address: count for address, count in calls.items() if "8443" not in address}
    report = {"outcomes": outcomes, "denied": denied, "allowed": calls, "rebound": rebind(calls)}
    print(json.dumps(report))  # noqa: T201


def configure_network() -> None:
    """Give the private addresses to `lo`, and names to them."""
    # Without duplicate address detection ("nodad"), an IPv6 address can be bound at once.
    adding = (f"address add {address} dev lo{' nodad' if ':' in address else ''}" for address in PRIVATE)
    for command in ("link set lo up", *adding):
        subprocess.run(["ip", *command.split()], check=True)
    with tempfile.NamedTemporaryFile("w", suffix="hosts") as hosts:
        hosts.write(HOSTS)
        hosts.flush()
        subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)


def listen(address: str, port: int, calls: Counter[str]) -> None:
    """Start a server that counts its connections in `calls`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.create_server((address, port), family=family)

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            calls[f"{address}:{port}"] += 1
            with connection:
                connection.recv(65536)
                connection.sendall(FOX)

    Thread(target=serve, daemon=True).start()


def fetch(url: str) -> str:
    """The class of the error with which the fetch ends, or the file."""
    sink = io.BytesIO()
    try:
        http_client.fetch(url, sink, hosts=ALLOWED, bytes_max=1000, seconds_max=60)
    except http_client.FetchError as error:
        return type(error).__name__
    return sink.getvalue().decode()


def rebind(calls: Counter[str]) -> dict[str, int]:
    """Fetch from a name whose address is public and private in turn. Returns the outcomes, and the new connections."""
    answers = cycle(["1.1.1.1", "10.0.0.1"])

    def resolve(host: str, port: int, *args: object, **options: object) -> list[object]:
        # An address resolves to itself, as everywhere.
        address = next(answers) if host.startswith("v") else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    socket.getaddrinfo = resolve  # type: ignore[assignment]
    before = calls["10.0.0.1:443"]
    outcomes = Counter(fetch("https://v9.fal.media/x") for _ in range(REBINDINGS))
    return {**outcomes, "calls": calls["10.0.0.1:443"] - before}


if __name__ == "__main__":
    main()
