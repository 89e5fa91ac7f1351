"""Threads that coverage traces start one after another."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services import traced_threads

pytestmark = pytest.mark.once


@pytest.fixture
def traced() -> Iterator[list[str]]:
    """The names of the threads whose trace function is installed. Installing it takes a moment."""
    names: list[str] = []

    def install(*event: Any) -> None:
        sys.settrace(None)
        threading.Event().wait(0.05)
        names.append(threading.current_thread().name)

    before = threading.gettrace()
    threading.settrace(install)
    yield names
    threading.settrace(before)


def start_and_look(traced: list[str]) -> bool:
    thread = threading.Thread(target=int, name="new")
    thread.start()
    is_traced = "new" in traced
    thread.join()
    return is_traced


def test_a_thread_is_traced_when_start_returns(traced: list[str]) -> None:
    assert start_and_look(traced)


def test_otherwise_a_thread_is_traced_later(traced: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the next thread may start at the same time."""
    monkeypatch.setattr(threading.Thread, "start", traced_threads._start)

    assert not start_and_look(traced)
