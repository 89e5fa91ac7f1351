"""The programs of `make run`: restarted when they end, their alarming log lines shown, and ended with SIGTERM."""

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
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {FOREVER}"

StartProgram = Callable[[str], Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartProgram]:
    """`start("print('ready')")`: a supervised program that runs this Python code."""
    started: list[Program] = []

    def start(code: str) -> Program:
        command = [sys.executable, "-c", code]
        program = Program("worker", command, environment=dict(os.environ), folder=tmp_path, logs=tmp_path)
        started.append(program)
        program.start()
        return program

    yield start
    for program in started:
        program.reap(within_seconds=0)


def test_a_program_that_ended_is_restarted(start: StartProgram) -> None:
    program = start("import sys; print('started', flush=True); sys.exit(3)")
    until(lambda: not program.is_running)

    messages = program.check()
    until(lambda: program.check() or program.last_lines().count("started") > 1)

    assert messages == ["ended with status 3; restart in 1 s"]


def test_the_pause_before_a_restart_doubles_when_a_program_ends_at_once(start: StartProgram) -> None:
    program = start("raise SystemExit(1)")

    messages = [until(program.check)[-1] for _ in range(2)]

    assert [message.rpartition(" in ")[2] for message in messages] == ["1 s", "2 s"]


def test_errors_with_their_tracebacks_are_shown_and_other_lines_are_not(start: StartProgram) -> None:
    lines = [
        "2026-11-20 12:00:00,000 INFO limn: started",
        "2026-11-20 12:00:01,000 ERROR limn: the bucket refused the file",
        "Traceback (most recent call last):",
        '  File "limn.py", line 1, in copy',
        "PermissionError: no",
        "2026-11-20 12:00:02,000 INFO limn: the word ERROR does not begin this line",
    ]
    program = start(f"print({chr(10).join(lines)!r}, flush=True); {FOREVER}")

    assert until(program.check) == lines[1:5]
    assert program.check() == []


def test_the_log_of_the_last_run_is_kept_beside_the_new_one(start: StartProgram, tmp_path: Path) -> None:
    first = start(f"print('the first', flush=True); {FOREVER}")
    until(lambda: "the first" in first.last_lines())

    second = start(f"print('the second', flush=True); {FOREVER}")
    until(lambda: "the second" in second.last_lines())

    assert (tmp_path / "worker.log.1").read_text() == "the first\n"
    assert (tmp_path / "worker.log").read_text() == "the second\n"


def test_a_program_that_ignores_sigterm_is_killed(start: StartProgram) -> None:
    program = start(IGNORES_SIGTERM)
    until(lambda: "ready" in program.last_lines())

    program.ask_to_end()
    assert program.is_running
    program.reap(within_seconds=0.1)

    assert not program.is_running
