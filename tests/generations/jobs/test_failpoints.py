"""Failpoints take effect in chaos runs only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quality.chaos import fault_kinds
from quality.chaos.processes import ROOT

pytestmark = [pytest.mark.once, pytest.mark.slow]

PROGRAM = "from generations.jobs import failpoints; failpoints.reach('posted'); print('alive')"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan"
    path.write_text("posted exit 1\n")
    return path


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_process_ends_at_the_failpoint_that_the_plan_names(plan: Path) -> None:
    ended = run(LIMN_FAILPOINTS=str(plan), LIMN_TIME_SCALE="10")

    assert (ended.returncode, ended.stdout, ended.stderr) == (137, "", "failpoint posted exit\n")


def test_a_failpoint_has_no_effect_without_a_time_scale(plan: Path) -> None:
    assert run(LIMN_FAILPOINTS=str(plan)).stdout == "alive\n"


def test_a_failpoint_has_no_effect_after_the_plan_is_deleted(plan: Path) -> None:
    plan.unlink()

    assert run(LIMN_FAILPOINTS=str(plan), LIMN_TIME_SCALE="10").stdout == "alive\n"


def test_the_product_has_every_failpoint_that_a_chaos_run_uses() -> None:
    product = "".join(path.read_text() for path in (ROOT / "generations").rglob("*.py"))

    names = {point.split()[0] for point in fault_kinds.FAILPOINTS}

    assert {name for name in names if f'failpoints.reach("{name}")' not in product} == set()
