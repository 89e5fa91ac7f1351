"""The fixed loop that shows how much the neighbours of the machine slow its cores."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from quality.benchmarks.core_speed import CoreSpeed
from tests.services.waiting import until

pytestmark = [pytest.mark.once]


def test_the_mean_is_that_of_the_samples_in_between(tmp_path: Path) -> None:
    file = tmp_path / "samples"
    file.write_text("1.0 3.0\n2.0 4.0\n3.0 6.0\n4.0 3.0\n4.5 9")

    assert CoreSpeed(file).between(1.5, 3.0) == 5.0


def test_the_fastest_is_what_nearly_all_samples_exceed(tmp_path: Path) -> None:
    file = tmp_path / "samples"
    file.write_text("".join(f"{second} {4 if second % 10 else 3}\n" for second in range(100)))

    assert CoreSpeed(file).fastest() == 3.0


@pytest.mark.slow
def test_the_loop_runs_until_the_end_of_the_block(tmp_path: Path) -> None:
    file, began = tmp_path / "samples", time.monotonic()

    with CoreSpeed(file) as speed:
        until(lambda: file.read_text().count("\n") > 1, what="two samples")
        assert speed.between(began, time.monotonic()) > 0
    samples = file.read_text()

    assert file.read_text() == samples
