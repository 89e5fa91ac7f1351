"""Measures how fast the cores are while something else is measured.

The cores of a virtual machine share their execution units with neighbours that it cannot see. While those compute, the
same Python code takes up to 1.6 times as much CPU time. A process of its own runs one fixed loop ten times in a second,
which takes about 5 % of a core, and records the CPU time of each.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import mean, quantiles

from config.management import subprocesses
from quality.chaos import processes

PAUSE_SECONDS = 0.1
ITERATIONS = 60_000


class CoreSpeed:
    """A context manager: the loop runs until its end.

    Args:
        file: Where the samples are written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> CoreSpeed:
        self._file.touch()
        self._process = processes.start([sys.executable, "-m", "quality.benchmarks.core_speed", self._file])
        return self

    def __exit__(self, *_: object) -> None:
        subprocesses.kill(self._process)

    def between(self, began: float, ended: float) -> float:
        """Return the mean CPU time of the loop in milliseconds between two moments of `time.monotonic`.

        Raises:
            ValueError: The loop did not run in between.
        """
        return mean(milliseconds for at, milliseconds in self._samples() if began <= at <= ended)

    def fastest(self) -> float:
        """Return the milliseconds that 5 % of all samples fall below: what the loop takes without neighbours."""
        return quantiles([milliseconds for _, milliseconds in self._samples()], n=20)[0]

    def _samples(self) -> list[tuple[float, float]]:
        # The last line may be incomplete.
        lines = self._file.read_text().split("\n")[:-1]
        return [(float(at), float(milliseconds)) for at, milliseconds in map(str.split, lines)]


def loop_milliseconds() -> float:
    """Return the CPU time of one fixed loop."""
    began, total = time.thread_time(), 0
    for number in range(ITERATIONS):
        total += number * number % 7
    return 1000 * (time.thread_time() - began)


def main(file: str) -> None:
    """Append samples to a file until the process is killed."""
    with open(file, "a", buffering=1) as samples:
        while True:
            samples.write(f"{time.monotonic()} {loop_milliseconds()}\n")
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
