"""How long and how often the benchmarks measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """The sizes of a run. The defaults are those of `make bench`."""

    users: int = 16
    web_processes: int = 2
    seconds: float = 3.0
    """How long one side is measured at a time."""
    alternations: int = 5
    requests_max: int = 3000
    """Upper limit of what is prepared, such as submissions that wait for a callback."""
    orders: int = 100
    """Orders that are timed one after another in each alternation."""
    jobs: int = 150
    """Jobs from order to COMPLETED in each alternation."""
    copy_megabytes: float = 1000
    """How much is copied in each alternation at most. Files that are larger are left out."""
    latency_seconds: float = 20.0
    """How long orders come at a fixed rate, for each rate and alternation."""
    idle_seconds: float = 10.0
    idle_settle_seconds: float = 20.0
    """Before an idle worker is measured."""
    sqlite_jobs: int = 360
    """Many, because the old commit accepts orders faster than it completes them."""
    growth_from: int = 1_000
    growth_to: int = 1_000_000
    """Numbers of generations between which the growth is measured."""
    growth_settle_seconds: float = 20.0
    """How long a worker sees the filled database before it is measured."""
    growth_requests: int = 60
    """Of each kind, for each size and alternation."""
    peer: bool = True
    """Compare with dj-stripe, whose environment is installed from PyPI."""
    old: bool = True
    """Compare with an older commit."""
