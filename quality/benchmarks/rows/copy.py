"""Copying files from fal to the bucket: Limn's copier compared with plain boto3 that does GET and upload.

Both fetch from the same media server on this machine and upload to the same SeaweedFS, each in a process of its own
(`copy_sides`), in turn. Limn also inspects each file, proves what is stored, and completes a generation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from quality.benchmarks import copy_sides
from quality.benchmarks.environment import Environment
from quality.benchmarks.options import Options
from quality.benchmarks.results import Aim, Result
from tests.services.seaweed import Bucket

PEER = "boto3"
MEMORY_MEGABYTES_MAX = 64


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files of one kind and size, of which some are copied at the same time."""

    name: str
    path: str
    """The path on the media server."""
    megabytes: float
    files: int
    at_once: int
    ratio_min: float | None = None
    """What is to be reached of boto3's rate."""


CASES = (
    Case(name="1 MB", path="film/1000000", megabytes=1, files=64, at_once=8, ratio_min=0.6),
    Case(name="20 MB", path="film/20000000", megabytes=20, files=24, at_once=8, ratio_min=0.9),
    Case(name="500 MB", path="film/500000000", megabytes=500, files=2, at_once=2, ratio_min=0.8),
    Case(name="images of 1024 × 1024", path="image/1024", megabytes=0.28, files=64, at_once=8),
)


def measure(environment: Environment, options: Options) -> list[Result]:
    """Measure the cases that are small enough for `options.copy_megabytes`."""
    results = []
    with ExitStack() as stack:
        media = stack.enter_context(_process("media", {}, environment.root))
        host = media.read()
        # Both sides get the same settings. Of Limn's, only the media host differs from other benchmarks.
        environment.fal.behave(callback_seconds=-1)
        variables = environment.variables(environment.limn_database("copy")) | {
            "API_KEY": environment.users[0].token,
            "FAL_MEDIA_HOSTS": host,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_LEVEL": "ERROR",
        }
        sides = {name: stack.enter_context(_process(name, variables, environment.root)) for name in ("limn", PEER)}
        for case in CASES:
            files = min(case.files, int(options.copy_megabytes / case.megabytes))
            if files:
                asked = {"url": f"http://{host}/{case.path}", "files": files, "at_once": case.at_once}
                results += _results(case, files, _alternate(sides, asked, environment.bucket, options.alternations))
    return results


def _alternate(
    sides: Mapping[str, _Side], asked: Mapping[str, Any], bucket: Bucket, alternations: int
) -> dict[str, list[dict[str, float]]]:
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    # The first alternation warms up both sides.
    for number in range(alternations + 1):
        for name in sides if number % 2 else reversed(list(sides)):
            measured[name].append(sides[name].copy(asked))
            # Each alternation would otherwise fill the disk a little more.
            _delete_all(bucket)
    return {name: values[1:] for name, values in measured.items()}


def _results(case: Case, files: int, measured: Mapping[str, list[dict[str, float]]]) -> list[Result]:
    limn, other = measured["limn"], measured[PEER]

    def each(side: list[dict[str, float]], name: str) -> float:
        return median(values[name] for values in side) / files

    rate = Result(
        row="copy",
        what=f"copy {case.name}, {case.at_once} at once",
        unit="MB/s",
        limn=[files * case.megabytes / values["seconds"] for values in limn],
        against=PEER,
        other=[files * case.megabytes / values["seconds"] for values in other],
        aim=Aim(of="ratio", comparison="≥", limit=case.ratio_min) if case.ratio_min else None,
        cpu_ms={
            "Limn": each(limn, "cpu_ms"),
            "Limn's sandbox": each(limn, "sandbox_cpu_ms"),
            PEER: each(other, "cpu_ms"),
        },
    )
    memory = Result(
        row="copy",
        what=f"memory above rest, {case.name}, {case.at_once} at once",
        unit="MB",
        limn=[values["memory_megabytes"] for values in limn],
        against=PEER,
        other=[values["memory_megabytes"] for values in other],
        aim=Aim(of="value", comparison="≤", limit=MEMORY_MEGABYTES_MAX),
        has_ratio=False,
    )
    return [rate, memory]


def _delete_all(bucket: Bucket) -> None:
    client = bucket.client
    for key in bucket.keys():  # noqa: SIM118  (a bucket is no dictionary)
        client.delete_object(Bucket=bucket.name, Key=key)


class _Side:
    """A running process of `copy_sides`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def copy(self, asked: Mapping[str, Any]) -> dict[str, float]:
        """Have the files copied. Returns what it took."""
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        taken: dict[str, float] = json.loads(self.read())
        return taken

    def read(self) -> str:
        """Return the next line that the process prints."""
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise RuntimeError(f"a process of the benchmark ended with status {self._process.wait()}")
        return line.strip()


@contextmanager
def _process(name: str, variables: Mapping[str, str], root: Path) -> Iterator[_Side]:
    command = [sys.executable, str(Path(copy_sides.__file__)), name]
    environment = {**os.environ, **variables, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=root
    ) as process:
        try:
            yield _Side(process)
        finally:
            process.kill()
