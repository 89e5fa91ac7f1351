"""The coverage of all processes is combined, whatever became of some of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import coverage_report

pytestmark = [pytest.mark.once, pytest.mark.slow]


def test_the_file_of_a_killed_process_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "program.py").write_text("print(1)\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-m", "coverage", "run", "--parallel-mode", "program.py"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    (tmp_path / ".coverage.killed").touch()
    monkeypatch.chdir(tmp_path)

    report = coverage_report.combine()

    assert "100.0 % covered" in report.text
