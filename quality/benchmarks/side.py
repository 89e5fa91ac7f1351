"""One side of a comparison: a server under load, and the processes whose CPU time is noted beside the rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quality.benchmarks import http_load
from quality.benchmarks.environment import CpuMeter
from quality.benchmarks.http_load import Load
from quality.benchmarks.results import Result

CONNECTIONS = 16


@dataclass(frozen=True)
class Side:
    """A server that is measured."""

    name: str
    port: int
    groups: Mapping[str, list[int]]
    """Process ids by the name under which their CPU time is noted."""

    def load(
        self, requests: Iterable[bytes], result: Result, *, status: int = 200, seconds: float | None = None
    ) -> float:
        """Send the requests, sixteen at once, until they or the time run out.

        Args:
            result: Gets the CPU time of each request; a later alternation replaces that of an earlier one.
            status: What every request must be answered with.

        Returns:
            The requests per second.
        """
        cpu = CpuMeter(self.groups)
        cpu.start()
        load = http_load.closed_loop(self.port, requests, connections=CONNECTIONS, expected=(status,), seconds=seconds)
        used = cpu.stop()
        if load.statuses[503]:
            raise http_load.LoadError(f"{self.name} answered {load.statuses[503]} requests with 503")
        for name in self.groups:
            result.cpu_ms[f"{self.name} {name}"] = _each(used[name], load)
        result.cpu_ms[f"load generator for {self.name}"] = _each(load.client_cpu_seconds, load)
        return load.per_second


def _each(seconds: float, load: Load) -> float:
    return 1000 * seconds / len(load.durations) if load.durations else 0
