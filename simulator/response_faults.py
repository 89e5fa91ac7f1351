"""Faulty ways to send a response: dropped, reset, stalled, truncated or endless.

Each function is a `Sender` for `HttpResponse.send`; the submit API and the file server choose one by scenario. The
faults run in real time whatever the simulator's speed, because they exist to meet the time-outs of clients, and those
time-outs are real.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time

from simulator.http_messages import Connection, HttpResponse, response_head

DRIP_SECONDS = 0.3
# Longer than the time-out of any client, but finite: a thread waits for each stalled connection.
STALL_SECONDS_MAX = 600.0
ENDLESS_BYTES_MAX = 2 * 1024**3
DECLARED_BYTES = 5 * 10**9
CHUNK = b"\0" * 65536


def drop(connection: Connection, response: HttpResponse) -> bool:
    """Send nothing and close the connection in the normal way (TCP FIN)."""
    return False


def reset(connection: Connection, response: HttpResponse) -> bool:
    """Send nothing and abort the connection (TCP RST)."""
    # With SO_LINGER on and a timeout of 0, close() sends RST.
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Closed here, because the server's own shutdown of the connection would send FIN first.
    os.close(connection.socket.detach())
    return False


def hang(connection: Connection, response: HttpResponse) -> bool:
    """Send nothing and keep the connection open until the client closes it."""
    _wait_for_hangup(connection, STALL_SECONDS_MAX)
    return False


def drip(connection: Connection, response: HttpResponse) -> bool:
    """Send the headers at once, then one byte of the body every 0.3 s, so that no single read times out."""
    connection.socket.sendall(response_head(response, length=len(response.body)))
    for byte in response.body:
        connection.socket.sendall(bytes([byte]))
        if _wait_for_hangup(connection, DRIP_SECONDS):
            break
    return False


def truncate(connection: Connection, response: HttpResponse) -> bool:
    """Declare the full Content-Length and send half of the body."""
    head = response_head(response, length=len(response.body))
    connection.socket.sendall(head + response.body[: len(response.body) // 2])
    return False


def truncate_without_length(connection: Connection, response: HttpResponse) -> bool:
    """Send half of the body without Content-Length: most clients take it for complete."""
    connection.socket.sendall(response_head(response, length=None) + response.body[: len(response.body) // 2])
    return False


def send_without_length(connection: Connection, response: HttpResponse) -> bool:
    """Send the whole body without Content-Length, and close the connection."""
    connection.socket.sendall(response_head(response, length=None) + response.body)
    return False


def send_endless(connection: Connection, response: HttpResponse) -> bool:
    """Send the body without Content-Length, then zeros until the client closes the connection."""
    connection.socket.sendall(response_head(response, length=None) + response.body)
    sent = 0
    while sent < ENDLESS_BYTES_MAX and not connection.stopping.is_set():
        connection.socket.sendall(CHUNK)
        sent += len(CHUNK)
    return False


def declare_huge(connection: Connection, response: HttpResponse) -> bool:
    """Declare 5 GB, send the first 1,000 bytes, then stall."""
    connection.socket.sendall(response_head(response, length=DECLARED_BYTES) + response.body[:1000])
    _wait_for_hangup(connection, STALL_SECONDS_MAX)
    return False


def _wait_for_hangup(connection: Connection, seconds: float) -> bool:
    """Wait up to `seconds`. Returns True as soon as the client hangs up or the simulator stops."""
    deadline = time.monotonic() + seconds
    while not connection.stopping.is_set() and (left := deadline - time.monotonic()) > 0:
        # In slices of 0.2 s, because select() does not see the stopping event.
        readable, _, _ = select.select([connection.socket], [], [], min(left, 0.2))
        if readable:
            return True
    return connection.stopping.is_set()
