"""The gate that a restore of the database closes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from quality.chaos.gate import Gate
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.once


def test_a_closing_waits_for_the_steps_in_progress() -> None:
    gate, has_begun, may_end, closed = Gate(), Event(), Event(), Event()

    def step() -> None:
        with gate.step():
            has_begun.set()
            may_end.wait(HANG_SECONDS)

    def close() -> None:
        with gate.closed():
            closed.set()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(step)
        assert has_begun.wait(HANG_SECONDS)
        pool.submit(close)
        assert not closed.is_set()
        may_end.set()
        assert closed.wait(HANG_SECONDS)


def test_no_step_begins_while_the_gate_is_closed() -> None:
    gate, has_begun = Gate(), Event()

    def step() -> None:
        with gate.step():
            has_begun.set()

    with ThreadPoolExecutor(1) as pool:
        with gate.closed():
            pool.submit(step)
            assert not has_begun.is_set()
        assert has_begun.wait(HANG_SECONDS)
