"""One run: safety while everything breaks, liveness when it stops, and the verdict."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import django

from quality.chaos.counters import Tally
from quality.chaos.environment import Town
from quality.chaos.fault_plan import Swarm

LIVENESS_SECONDS_MAX = 120.0
LATE_SECONDS = 2.0
SEEN_AGAIN = 20


@dataclass(frozen=True, kw_only=True)
class Size:
    generations: int
    seconds: float
    """How long orders are placed; twice as long where a busy machine has not managed `orders_min` by then."""
    orders_min: int
    customers: int
    workers: int
    time_scale: float
    nemesis_pause_seconds: tuple[float, float]
    fault_seconds: tuple[float, float]
    sample_seconds: float


@dataclass(kw_only=True)
class Result:
    tally: Tally
    load_seconds: float = 0
    liveness_seconds: float = 0
    phases: dict[str, int] = field(default_factory=dict)


def run(swarm: Swarm, size: Size, folder: Path) -> Result:
    result = Result(tally=Tally())
    town = Town(folder, time_scale=size.time_scale, workers=size.workers, failpoints=swarm.plan_of_failpoints)
    with town:
        django.setup()
        soak = _Soak(town, swarm, size, result)
        _say("Phase 1: load, and everything breaks.")
        soak.load()
        _say("Phase 2: nothing breaks any more; all of it has to end.")
        soak.come_to_rest()
        _say("Phase 3: our rows, fal's log and the bucket.")
        soak.judge()
    return result


class _Soak:
    """The threads of a run, and what they share."""

    def __init__(self, town: Town, swarm: Swarm, size: Size, result: Result) -> None:
        # Models can be imported only now that Django has been set up.
        from quality.chaos.participants import Cast  # noqa: PLC0415

        self._town, self._size, self._result, self._tally = town, size, result, result.tally
        self._stop_load, self._stop_post = threading.Event(), threading.Event()
        self._cast = Cast(town, swarm, size, self._tally, stop_load=self._stop_load, stop_post=self._stop_post)
        self._threads: list[threading.Thread] = []
        self._chance = random.Random(swarm.seed)

    def load(self) -> None:
        begun = time.monotonic()
        customers = [self._begin(customer.run) for customer in self._cast.customers]
        for actor in (self._cast.nemesis.run, self._cast.watcher.run, self._cast.postman.run, self._keep_alive):
            self._threads.append(self._begin(actor))
        while self._wants_more(time.monotonic() - begun) and any(thread.is_alive() for thread in customers):
            time.sleep(0.5)
            self._show(begun)
        self._stop_load.set()
        for thread in customers:
            thread.join(timeout=60)
        self._result.load_seconds = time.monotonic() - begun
        self._threads[0].join(timeout=60)
        self._cast.nemesis.mend()

    def come_to_rest(self) -> None:
        begun = time.monotonic()
        deadline = begun + LIVENESS_SECONDS_MAX
        customers = [self._begin(customer.finish, deadline) for customer in self._cast.customers]
        while not self._is_at_rest() and time.monotonic() < deadline:
            time.sleep(0.3)
        self._result.liveness_seconds = time.monotonic() - begun
        for thread in customers:
            thread.join(timeout=LIVENESS_SECONDS_MAX)
        # And once more, when everything has ended: late duplicates change nothing.
        time.sleep(LATE_SECONDS)
        for customer in self._cast.customers:
            customer.look_again(SEEN_AGAIN)
        self._stop_post.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def _wants_more(self, elapsed: float) -> bool:
        has_enough = self._tally.counts["orders"] >= self._size.orders_min
        return elapsed < self._size.seconds * (1 if has_enough else 2)

    def _keep_alive(self) -> None:
        while not self._stop_post.wait(0.5):
            self._town.revive()

    def _is_at_rest(self) -> bool:
        return not self._cast.unfinished() and self._town.is_ready()

    def judge(self) -> None:
        if not self._town.is_ready():
            self._tally.violated("I11", "Limn is not well, though nothing breaks any more")
        self._cast.judge()
        self._result.phases = self._cast.phases()

    def _begin(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=self._guarded(target), args=arguments, daemon=True, name=target.__qualname__)
        thread.start()
        return thread

    def _guarded(self, target: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: object) -> None:
            try:
                target(*arguments)
            except Exception as error:
                # A soak whose own hands fell off proves nothing.
                self._tally.violated("soak", f"{target.__qualname__} died of {type(error).__name__}: {error}"[:500])
                raise

        return guarded

    def _show(self, begun: float) -> None:
        elapsed = time.monotonic() - begun
        if int(elapsed * 2) % 30 == 0:
            counts = self._tally.counts
            ended = counts["seen completed"] + counts["seen failed"]
            print(f"  {elapsed:4.0f} s: {counts['orders']} ordered, {ended} ended", flush=True)


def _say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def at_home() -> None:
    """Nothing that a developer's shell or .env says may reach the run."""
    for name in ("REDIS_URL", "ALLOWED_HOSTS", "EMAIL_URL", "MEDIA_ROOT", "DEBUG", "LOG_LEVEL", "PORT"):
        os.environ[name] = ""
