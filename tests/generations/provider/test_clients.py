"""The clients of fal that a process shares among its threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from generations.provider import clients
from tests.helpers.threads import at_once

pytestmark = pytest.mark.once


class SlowToMake:
    """A client that is made only when all threads that want one have come, or after half a second."""

    threads = threading.Barrier(2)

    def __init__(self, **_: Any) -> None:
        try:
            self.threads.wait(timeout=0.5)
        except threading.BrokenBarrierError:
            return

    def close(self) -> None:
        """Nothing to close."""


def test_threads_that_need_the_first_client_at_once_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clients.close()
    monkeypatch.setattr(clients, "FalClient", SlowToMake)

    first, second = at_once(2, lambda _: clients.fal())

    assert first is second
    clients.close()


def test_all_clients_are_closed_whatever_the_settings_are_now(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    closed: list[str] = []
    clients.close()
    monkeypatch.setattr(clients, "FalClient", lambda key, queue_url: Recorder(key, closed))
    for key in ("old", "new"):
        settings.FAL_KEY = key
        clients.fal()

    clients.close()

    assert closed == ["old", "new"]


class Recorder:
    """A client that records that it was closed."""

    def __init__(self, key: str, closed: list[str]) -> None:
        self._key, self._closed = key, closed

    def close(self) -> None:
        """Add the key to the list."""
        self._closed.append(self._key)
