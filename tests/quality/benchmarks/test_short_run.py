"""A run of every benchmark with the least counts: that each measures something, and not how fast it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quality.benchmarks.__main__ import ROWS
from quality.chaos.processes import ROOT

# The run starts services of its own; running it once is enough.
pytestmark = [pytest.mark.only_postgresql, pytest.mark.slow, pytest.mark.long]

# dj-stripe is installed from PyPI, and the old commit needs the history of the repository.
WITHOUT = ("--no-peer", "--no-old")
LEAST = {
    "users": 2,
    "web-processes": 1,
    "alternations": 1,
    "seconds": 0.1,
    "requests-max": 20,
    "orders": 2,
    "jobs": 2,
    "latency-seconds": 1,
    "idle-seconds": 0.5,
    "idle-settle-seconds": 0,
    "sqlite-jobs": 2,
    "copy-megabytes": 2,
    "growth-from": 20,
    "growth-to": 60,
    "growth-settle-seconds": 0,
    "growth-requests": 2,
}


def test_every_benchmark_measures_both_sides(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    options = [f"--{name}={value}" for name, value in LEAST.items()]
    command = [sys.executable, "-m", "quality.benchmarks", *ROWS, *options, *WITHOUT, "--output", str(output)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}

    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = json.loads(output.read_text())
    assert {result["row"] for result in results} == set(ROWS)
    assert [result["what"] for result in results if not is_measured(result)] == []
    assert [result["what"] for result in results if result["what"] not in ended.stdout] == []


def is_measured(result: dict[str, Any]) -> bool:
    """Whether there is a value of Limn, and one of what it is compared with if that was measured."""
    is_compared = bool(result["against"]) and "commit" not in result["against"]
    # A value may be zero: 503s, or the CPU time of half a second.
    return bool(result["limn"]) and (not is_compared or bool(result["other"]))
