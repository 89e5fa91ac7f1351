"""Failpoints take effect in chaos runs only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quality.chaos import fault_plan
from quality.chaos.processes import ROOT

pytestmark = pytest.mark.once

PROGRAM = "from generations import failpoints; failpoints.reach('posted'); print('alive')"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan"
    path.write_text("posted exit 1\n")
    return path


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_process_dies_where_the_plan_says_so(plan: Path) -> None:
    ended = run(LIMN_FAILPOINTS=str(plan), LIMN_TIME_SCALE="10")

    assert (ended.returncode, ended.stdout, ended.stderr) == (137, "", "failpoint posted exit\n")


def test_nothing_happens_at_the_ordinary_pace(plan: Path) -> None:
    assert run(LIMN_FAILPOINTS=str(plan)).stdout == "alive\n"


def test_nothing_happens_when_the_plan_is_gone(plan: Path) -> None:
    plan.unlink()

    assert run(LIMN_FAILPOINTS=str(plan), LIMN_TIME_SCALE="10").stdout == "alive\n"


def test_every_place_that_a_fault_plan_names_is_in_the_product() -> None:
    product = "".join(path.read_text() for path in (ROOT / "generations").rglob("*.py"))

    places = {name.split()[0] for name in fault_plan.FAILPOINTS}

    assert {place for place in places if f'failpoints.reach("{place}")' not in product} == set()
