"""A short chaos run, always with the same seed. `make chaos` is the long one."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from quality.chaos.processes import ROOT

# The run starts a PostgreSQL of its own; running it once is enough.
pytestmark = [pytest.mark.only_postgresql, pytest.mark.slow, pytest.mark.long]

SEED = 20261121
# Only a hang reaches this: with a dozen busy loops on two cores the run takes two minutes.
SECONDS_MAX = 290
# Low enough for a machine on which all other tests run at the same time.
GENERATIONS_MIN = 8
KINDS_MIN = 25


@pytest.fixture
def environment() -> dict[str, str]:
    """Without coverage measurement, which would only slow down processes that are killed anyway."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def test_a_short_run_with_faults_violates_nothing(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "quality.chaos", "--short", "--seed", str(SEED)]

    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )

    report = ended.stdout + ended.stderr
    assert ended.returncode == 0, report
    assert figure(r"(\d+) generations in", report) >= GENERATIONS_MIN, report
    assert figure(r"(\d+) kinds of fault, \d+ hits", report) >= KINDS_MIN, report


def figure(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0
