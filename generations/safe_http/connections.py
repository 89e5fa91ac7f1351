"""Opens the connections of the safe HTTP client, and keeps some of them for the next file of the same host.

A host name is resolved once for each connection, all its addresses are checked, and the connection goes to one of the
checked addresses. A kept connection is used only for a request to the same scheme, host and port with the same
permission, so it has passed the checks that a new one would have to pass.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import monotonic
from typing import Any

import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from generations.safe_http.addresses import ends_in_number, is_address, is_public
from generations.safe_http.deadline import Deadline
from generations.safe_http.errors import AddressRefused, HostRefused
from generations.safe_http.urls import Target

CONNECT_SECONDS_MAX = 5
# Between two bytes. The deadline limits the whole transfer.
READ_SECONDS_MAX = 20
CONNECT_ATTEMPTS_MAX = 4
# How many connections are kept, and for how long. Servers close theirs after a minute or more.
KEPT_MAX = 16
KEPT_SECONDS_MAX = 20


class _Checked(HTTPConnection):
    """A connection to a checked address."""

    deadline: Deadline
    private_allowed: bool
    raw: socket.socket | None = None
    """A duplicate of the socket below TLS, which a deadline can shut down."""
    was_kept = False
    is_reusable = False
    """Whether another request may follow. Set when a response was read to its end."""
    kept_until = 0.0

    def _new_conn(self) -> socket.socket:
        connection = _connect(str(self.host), int(self.port or 0), private_allowed=self.private_allowed)
        # TLS detaches the original socket object from its descriptor.
        self.raw = connection.dup()
        self.deadline.guard(self.raw)
        return connection

    def close(self) -> None:
        """Close the connection and its duplicate."""
        super().close()
        if self.raw is not None:
            self.raw.close()


class _CheckedTLS(_Checked, HTTPSConnection):
    """A connection to a checked address, whose server has a certificate of the host's name."""


class _Kept:
    """The connections that no request uses at the moment."""

    def __init__(self) -> None:
        self._connections: list[tuple[tuple[Any, ...], _Checked]] = []
        self._lock = threading.Lock()

    def take(self, name: tuple[Any, ...]) -> _Checked | None:
        """Return the connection with this name that was used last, or None."""
        with self._lock:
            for index in reversed(range(len(self._connections))):
                if self._connections[index][0] == name:
                    _, connection = self._connections.pop(index)
                    # `is_connected` is false also if the server has sent something that was not asked for.
                    if connection.kept_until > monotonic() and connection.is_connected:
                        return connection
                    connection.close()
        return None

    def put(self, name: tuple[Any, ...], connection: _Checked) -> None:
        """Keep a connection, and close the oldest one if there are too many."""
        connection.kept_until = monotonic() + KEPT_SECONDS_MAX
        with self._lock:
            self._connections.append((name, connection))
            surplus = [self._connections.pop(0)] if len(self._connections) > KEPT_MAX else []
        for _, oldest in surplus:
            oldest.close()

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            connections, self._connections = self._connections, []
        for _, connection in connections:
            connection.close()


_kept = _Kept()


@contextmanager
def opened(target: Target, deadline: Deadline, *, private_allowed: bool, keeps: bool) -> Iterator[_Checked]:
    """Yield a connection on which a request can be sent.

    Args:
        private_allowed: Whether it may lead to a private address.
        keeps: Use a kept connection if there is one, and keep it if the block sets `is_reusable`.

    Raises:
        AddressRefused: The URL names an address that is not public.
        HostRefused: The host name resolves to an address that is not public.
        OSError: No address accepts a connection, or the certificate is wrong.
    """
    name = (target.scheme, target.host, target.port, private_allowed)
    connection = _kept.take(name) if keeps else None
    try:
        if connection is not None:
            connection.was_kept, connection.is_reusable = True, False
            if connection.raw is not None:
                deadline.guard(connection.raw)
        else:
            connection = _new(target, private_allowed=private_allowed)
            connection.deadline = deadline
            connection.connect()
        if connection.sock is not None:
            connection.sock.settimeout(READ_SECONDS_MAX)
        yield connection
    finally:
        if connection is not None:
            if keeps and connection.is_reusable:
                _kept.put(name, connection)
            else:
                connection.close()


def close_kept() -> None:
    """Close the connections that no request uses."""
    _kept.close()


def _new(target: Target, *, private_allowed: bool) -> _Checked:
    if target.scheme == "https":
        trusted = _trusted(requests.adapters.DEFAULT_CA_BUNDLE_PATH)
        connection: _Checked = _CheckedTLS(target.host, target.port, ssl_context=trusted)
    else:
        connection = _Checked(target.host, target.port)
    connection.private_allowed = private_allowed
    return connection


@cache
def _trusted(path: str) -> ssl.SSLContext:
    """Return a context that trusts the authorities in this file. Reading them takes longer than most requests."""
    context = create_urllib3_context()
    context.load_verify_locations(cafile=path)
    return context


def _connect(host: str, port: int, *, private_allowed: bool) -> socket.socket:
    """Resolve a host once, check all its addresses, and connect to the first that accepts."""
    # Connecting to the checked addresses, not to the name, keeps a second resolution from giving a private one.
    resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in resolved))
    if not private_allowed and not all(map(is_public, addresses)):
        # What a name resolves to may be corrected, unlike an address in the URL itself.
        refusal = AddressRefused if is_address(host) or ends_in_number(host) else HostRefused
        raise refusal(f"{host} resolves to an address that is not public")
    error = OSError("the name has no address")
    for address in addresses[:CONNECT_ATTEMPTS_MAX]:
        try:
            return socket.create_connection((address, port), timeout=CONNECT_SECONDS_MAX)
        except OSError as refused:
            error = refused
    # The new error has no errno: urllib3 ignores a ConnectionResetError here and would go on without a socket.
    raise OSError(f"no connection: {error}") from error
