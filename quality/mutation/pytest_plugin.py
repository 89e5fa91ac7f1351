"""A pytest plugin that runs the chosen tests once, and then again for each mutant that they reach.

One process for all: what a mutant costs is the tests that call its function, the quickest first, up to the first that
fails. At the end the tests must still be green without a mutant, else nothing of it counts.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from time import monotonic
from types import FrameType, ModuleType
from typing import Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from quality.mutation.module_patch import swapped
from quality.mutation.operators import Mutant, mutants

# A mutant that makes a test wait has changed something, too. The machine may be busier than when it was learned.
SECONDS_MAX = 120.0
PATIENCE = 4
Reach = dict[str, list[pytest.Function]]


class Overdue(BaseException):
    """A test takes too long. No `except Exception` of the code under test swallows it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutate", action="append", default=[], help="a module to make mutants of")
    parser.addoption("--survivors", type=Path, help="where to list what survived")
    parser.addoption("--again", type=Path, help="a list of survivors; only these are tried")


def pytest_configure(config: pytest.Config) -> None:
    quick = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, phases=quick, deadline=None)
    hypothesis.settings.load_profile("mutants")
    signal.signal(signal.SIGALRM, _overdue)


def pytest_runtestloop(session: pytest.Session) -> bool:
    modules = [import_module(name) for name in session.config.option.mutate]
    items = [item for item in session.items if isinstance(item, pytest.Function)]
    terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    trial = Trial(items, modules, say=terminal.write_line)
    again = session.config.option.again
    only = set(again.read_text().splitlines()) if again else None
    survivors = [mutant for module in modules for mutant in trial.survivors(module, only=only)]
    session.config.option.survivors.write_text("\n".join(map(str, survivors)))
    if spoilt := [item.nodeid for item in trial.seconds if not (trial.is_green(item) or trial.is_green(item))]:
        raise pytest.UsageError(f"red without a mutant by now: {spoilt}")
    return True


class Trial:
    """Tests, and which function of the modules each of them calls."""

    def __init__(
        self, items: Sequence[pytest.Function], modules: Sequence[ModuleType], *, say: Callable[[str], None]
    ) -> None:
        self.say = say
        self.reach: Reach = defaultdict(list)
        self.files = {str(module.__file__): module.__name__ for module in modules}
        self.seconds: dict[pytest.Function, float] = {}
        for item in items:
            self._learn(item)
        for reaching in self.reach.values():
            reaching.sort(key=self.seconds.__getitem__)

    def survivors(self, module: ModuleType, *, only: set[str] | None) -> Iterator[Mutant]:
        source = Path(str(module.__file__)).read_text()
        chosen = [mutant for mutant in mutants(module.__name__, source) if only is None or str(mutant) in only]
        for number, mutant in enumerate(chosen, start=1):
            since = monotonic()
            with swapped(module, mutant.source):
                killer = next((item.name for item in self._reaching(mutant) if self._dies(item)), "")
            self.say(f"{number:4} {monotonic() - since:5.1f} s  {killer or 'SURVIVED'}  ⟵  {mutant}")
            if not killer:
                yield mutant

    def _dies(self, item: pytest.Function) -> bool:
        # Twice: on a busy machine a test may be late once.
        return not self.is_green(item) and not self.is_green(item)

    def is_green(self, item: pytest.Function) -> bool:
        return not self.complaint(item)

    def complaint(self, item: pytest.Function) -> str:
        """What the test says when it fails."""
        # Whoever runs next shares the session with it, so the database stays, and nothing else.
        nothing_else: Any = item.session
        item._initrequest()
        signal.setitimer(signal.ITIMER_REAL, min(SECONDS_MAX, 10 + PATIENCE * self.seconds.get(item, SECONDS_MAX)))
        try:
            reports = runtestprotocol(item, log=False, nextitem=nothing_else)
        except Overdue:
            return "it takes too long"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return "\n".join(report.longreprtext or report.outcome for report in reports if report.failed)

    def _reaching(self, mutant: Mutant) -> list[pytest.Function]:
        if not mutant.function:
            return self.reach[mutant.module]
        name = f"{mutant.module}:{mutant.function}"
        # A class is reached by who calls one of its methods.
        inside = {test for called, tests in self.reach.items() if called.startswith(f"{name}.") for test in tests}
        return self.reach.get(name) or sorted(inside, key=self.seconds.__getitem__)

    def _learn(self, item: pytest.Function) -> None:
        """Run it once: how long it takes, and what it calls. What is red without a mutant is left out."""
        called: set[str] = set()
        since = monotonic()
        with _watching(self.files, called):
            complaint = self.complaint(item)
        if complaint:
            self.say(f"left out, for it is red without a mutant: {item.nodeid}\n{complaint}")
            return
        self.seconds[item] = monotonic() - since
        for name in called:
            self.reach[name].append(item)


@contextmanager
def _watching(files: dict[str, str], called: set[str]) -> Iterator[None]:
    """Note what is called of these files, in every thread: module, and module:function."""

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and (module := files.get(frame.f_code.co_filename)):
            called.update((module, f"{module}:{frame.f_code.co_qualname}"))

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _overdue(signal_number: int, frame: FrameType | None) -> None:
    raise Overdue
