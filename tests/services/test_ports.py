"""A port that is found free stays free until its server listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from config.management import ports

pytestmark = pytest.mark.slow

CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not CLIENTS.exists(), reason="Only Linux says so here where clients' ports begin.")
def test_no_client_is_given_a_port_that_was_found_for_a_server() -> None:
    lowest_of_clients = int(CLIENTS.read_text().split()[0])

    assert ports.free_port(and_above=10_000) + 10_000 < lowest_of_clients


@pytest.fixture
def three_ports(monkeypatch: pytest.MonkeyPatch) -> range:
    """All that there are, and all of them free."""
    monkeypatch.setattr(ports, "LOWEST", 20_001)
    monkeypatch.setattr(ports, "HIGHEST", 20_003)
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    monkeypatch.setattr(ports, "_given", set())
    return range(20_001, 20_004)


def test_no_port_is_given_twice(three_ports: range) -> None:
    assert {ports.free_port() for _ in three_ports} == set(three_ports)


def test_a_port_on_which_somebody_listens_is_not_given(three_ports: range, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port == three_ports[1])

    assert ports.free_port() == three_ports[1]


def test_a_port_is_free_until_somebody_listens_on_it() -> None:
    port = ports.free_port()
    was_free = ports.is_free(port)

    with socket.create_server(("127.0.0.1", port)):
        assert was_free
        assert not ports.is_free(port)
