"""The programs behind `make run`: kept running, heard, and ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.management.supervisor import Program
from tests.services.waiting import until

pytestmark = [pytest.mark.once, pytest.mark.slow]

FOREVER = "import signal; signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {FOREVER}"

MakeProgram = Callable[[str], Program]


@pytest.fixture
def part(tmp_path: Path) -> Iterator[MakeProgram]:
    """Starts a part that runs the given Python."""
    made: list[Program] = []

    def start(code: str) -> Program:
        command = [sys.executable, "-c", code]
        made.append(Program("painter", command, environment=dict(os.environ), folder=tmp_path, logs=tmp_path))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.reap(within_seconds=0)


def test_it_is_started_again_after_its_death(part: MakeProgram) -> None:
    painter = part("import sys; print('first breath', flush=True); sys.exit(3)")
    until(lambda: not painter.is_running)

    news = painter.check()
    until(lambda: painter.check() or painter.last_lines().count("first breath") > 1)

    assert news == ["ended with status 3; restart in 1 s"]


def test_the_pauses_grow_when_it_dies_again_at_once(part: MakeProgram) -> None:
    painter = part("raise SystemExit(1)")

    news = [until(painter.check)[-1] for _ in range(2)]

    assert [line.rpartition(" in ")[2] for line in news] == ["1 s", "2 s"]


def test_alarms_are_heard_and_chatter_is_not(part: MakeProgram) -> None:
    lines = [
        "2026-11-20 12:00:00,000 INFO limn: all is well",
        "2026-11-20 12:00:01,000 ERROR limn: the bucket refuses us",
        "Traceback (most recent call last):",
        '  File "limn.py", line 1, in paint',
        "PermissionError: no",
        "2026-11-20 12:00:02,000 INFO limn: an ERROR is mentioned, long after the beginning of the line",
    ]
    painter = part(f"print({chr(10).join(lines)!r}, flush=True); {FOREVER}")

    assert until(painter.check) == lines[1:5]
    assert painter.check() == []


def test_the_log_of_the_last_run_is_kept_beside_the_new_one(part: MakeProgram, tmp_path: Path) -> None:
    first = part(f"print('the first', flush=True); {FOREVER}")
    until(lambda: "the first" in first.last_lines())

    second = part(f"print('the second', flush=True); {FOREVER}")
    until(lambda: "the second" in second.last_lines())

    assert (tmp_path / "painter.log.1").read_text() == "the first\n"
    assert (tmp_path / "painter.log").read_text() == "the second\n"


def test_who_does_not_end_when_asked_is_ended(part: MakeProgram) -> None:
    painter = part(STUBBORN)
    until(lambda: "ready" in painter.last_lines())

    painter.ask_to_end()
    assert painter.is_running
    painter.reap(within_seconds=0.1)

    assert not painter.is_running
