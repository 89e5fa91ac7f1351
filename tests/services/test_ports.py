"""`ports.free_port` returns a port that stays free until the server listens on it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from config.management import ports

pytestmark = pytest.mark.slow

PORT_RANGE_OF_CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not PORT_RANGE_OF_CLIENTS.exists(), reason="Only Linux has this file.")
def test_a_free_port_is_below_the_ports_that_linux_gives_to_clients() -> None:
    lowest_port_of_clients = int(PORT_RANGE_OF_CLIENTS.read_text().split()[0])

    assert ports.free_port(and_above=10_000) + 10_000 < lowest_port_of_clients


@pytest.fixture
def three_ports(monkeypatch: pytest.MonkeyPatch) -> range:
    """The only ports in the range of `free_port`, all of them free."""
    monkeypatch.setattr(ports, "LOWEST", 20_001)
    monkeypatch.setattr(ports, "HIGHEST", 20_003)
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    monkeypatch.setattr(ports, "_given", set())
    return range(20_001, 20_004)


def test_no_port_is_returned_twice(three_ports: range) -> None:
    assert {ports.free_port() for _ in three_ports} == set(three_ports)


def test_a_port_in_use_is_not_returned(three_ports: range, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port == three_ports[1])

    assert ports.free_port() == three_ports[1]


def test_a_port_is_free_until_a_server_listens_on_it() -> None:
    port = ports.free_port()
    was_free = ports.is_free(port)

    with socket.create_server(("127.0.0.1", port)):
        assert was_free
        assert not ports.is_free(port)
