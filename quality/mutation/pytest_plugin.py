"""A pytest plugin that runs tests once as they are, and then again for each mutant that they reach.

All mutants run in one process, so a mutant costs only the tests that call its function: the fastest first, up to the
first that fails. At the end the tests must still pass without a mutant; otherwise the run has no result.
`python -m quality.mutation` starts pytest with it.
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

from quality.mutation.module_patch import patched
from quality.mutation.mutants import Mutant, mutants

# A test that hangs has detected its mutant. The limit is a multiple of the time that the test took at first, since the
# machine may be busier by now.
SECONDS_MAX = 120.0
SECONDS_MIN = 10.0
SLOWDOWN_MAX = 4


class TooSlow(BaseException):
    """A test takes too long. Not an Exception, so that `except Exception` in the tested code does not catch it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutate", action="append", default=[], help="a module to mutate")
    parser.addoption("--survivors", type=Path, help="the file to which surviving mutants are written")
    parser.addoption("--only", type=Path, help="a file of earlier survivors; only these mutants are tried")


def pytest_configure(config: pytest.Config) -> None:
    # Hypothesis must find the same examples with each mutant, and need not shrink them.
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutation", derandomize=True, database=None, phases=phases, deadline=None)
    hypothesis.settings.load_profile("mutation")

    def raise_too_slow(signal_number: int, frame: FrameType | None) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, raise_too_slow)


def pytest_runtestloop(session: pytest.Session) -> bool:
    modules = [import_module(name) for name in session.config.option.mutate]
    tests = [item for item in session.items if isinstance(item, pytest.Function)]
    terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    runner = MutantRunner(tests, modules, print_line=terminal.write_line)
    only = session.config.option.only
    chosen = set(only.read_text().splitlines()) if only else None
    survivors = [mutant for module in modules for mutant in runner.survivors(module, only=chosen)]
    session.config.option.survivors.write_text("\n".join(map(str, survivors)))
    if failing := [test.nodeid for test in runner.seconds if runner.fails_twice(test)]:
        raise pytest.UsageError(f"tests fail without a mutant now: {failing}")
    return True


class MutantRunner:
    """Knows which functions each test calls, and runs the tests of a mutant."""

    def __init__(
        self, tests: Sequence[pytest.Function], modules: Sequence[ModuleType], *, print_line: Callable[[str], None]
    ) -> None:
        self._print_line = print_line
        self._module_of_file = {str(module.__file__): module.__name__ for module in modules}
        self._tests_of: dict[str, list[pytest.Function]] = defaultdict(list)
        """The tests that call a function (`module:function`) or any function of a module, the fastest first."""
        self.seconds: dict[pytest.Function, float] = {}
        """How long each test takes without a mutant."""
        for test in tests:
            called: set[str] = set()
            started = monotonic()
            with _recording_calls(self._module_of_file, called):
                failure = self._run(test)
            if failure:
                # It could not tell a mutant from the original.
                print_line(f"left out, because it fails without a mutant: {test.nodeid}\n{failure}")
                continue
            self.seconds[test] = monotonic() - started
            for name in called:
                self._tests_of[name].append(test)
        for reaching in self._tests_of.values():
            reaching.sort(key=self.seconds.__getitem__)

    def survivors(self, module: ModuleType, *, only: set[str] | None) -> Iterator[Mutant]:
        """Yield the mutants of a module that no test kills."""
        source = Path(str(module.__file__)).read_text()
        chosen = [mutant for mutant in mutants(module.__name__, source) if only is None or str(mutant) in only]
        for number, mutant in enumerate(chosen, start=1):
            started = monotonic()
            with patched(module, mutant.source):
                killer = next((test.name for test in self._tests_reaching(mutant) if self.fails_twice(test)), "")
            self._print_line(f"{number:4} {monotonic() - started:5.1f} s  {killer or 'SURVIVED'}  ⟵  {mutant}")
            if not killer:
                yield mutant

    def fails_twice(self, test: pytest.Function) -> bool:
        """Return whether a test fails twice in a row. On a busy machine it may fail once by chance."""
        return bool(self._run(test) and self._run(test))

    def _run(self, test: pytest.Function) -> str:
        """Run a test. Returns its failures as text, or nothing when it passes."""
        # With the session as the next item, fixtures of the session (the database) stay, and all others are torn down.
        session: Any = test.session
        test._initrequest()
        expected = self.seconds.get(test, SECONDS_MAX)
        signal.setitimer(signal.ITIMER_REAL, min(SECONDS_MAX, SECONDS_MIN + SLOWDOWN_MAX * expected))
        try:
            reports = runtestprotocol(test, log=False, nextitem=session)
        except TooSlow:
            return "the test takes too long"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return "\n".join(report.longreprtext or report.outcome for report in reports if report.failed)

    def _tests_reaching(self, mutant: Mutant) -> list[pytest.Function]:
        if not mutant.function:
            return self._tests_of[mutant.module]
        name = f"{mutant.module}:{mutant.function}"
        # A mutant in the body of a class is reached by every test that calls one of its methods. A class without
        # methods, such as an error, may be used by any function of the module.
        in_class = {test for called, tests in self._tests_of.items() if called.startswith(f"{name}.") for test in tests}
        by_class = sorted(in_class, key=self.seconds.__getitem__)
        return self._tests_of.get(name) or by_class or self._tests_of[mutant.module]


@contextmanager
def _recording_calls(module_of_file: dict[str, str], called: set[str]) -> Iterator[None]:
    """Add to `called` each module and function of these files that any thread calls."""

    def record(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and (module := module_of_file.get(frame.f_code.co_filename)):
            called.update((module, f"{module}:{frame.f_code.co_qualname}"))

    # Tests of races start threads, which have a profile function of their own.
    threading.setprofile(record)
    sys.setprofile(record)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
