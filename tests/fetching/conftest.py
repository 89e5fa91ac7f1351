"""Names and certificates for the fetcher to meet."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.fetching.certificates import Authority
from tests.fetching.servers import Names


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names(socket.getaddrinfo, socket.create_connection)
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", names.create_connection)
    return names


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)
