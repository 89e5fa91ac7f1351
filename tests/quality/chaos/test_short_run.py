"""The soak test itself, for half a minute and always from the same seed. `make soak` is the long one."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from quality.chaos.processes import ROOT

# Real processes on a PostgreSQL of their own: once is enough.
pytestmark = pytest.mark.only_postgresql

SEED = 20261121
SECONDS_MAX = 175
# What a machine manages on which all other tests run at the same time.
GENERATIONS_MIN = 8
KINDS_MIN = 25


@pytest.fixture
def environment() -> dict[str, str]:
    """Without the measuring of coverage: programs that are killed all the time would only be slowed by it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def test_half_a_minute_of_faults_violates_nothing(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "quality.chaos", "--short", "--seed", str(SEED)]

    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )

    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    assert figure(r"(\d+) generations in", said) >= GENERATIONS_MIN, said
    assert figure(r"(\d+) kinds of fault, \d+ hits", said) >= KINDS_MIN, said


def figure(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0
