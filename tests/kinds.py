"""The kinds of tests: `unit`, `slow`, `db` and `e2e`. `pytest -m unit` takes seconds.

Each test is of exactly one kind. `tests/plugin.py` derives it from the folder and from the fixtures of the test.
A test that starts a server or a process without a fixture is marked `slow` by hand. While a unit test runs, an audit
hook refuses processes and socket servers, so that a missing mark is noticed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
END_TO_END = TESTS / "end_to_end"
# They read all files of the repository.
WHOLE_REPOSITORY = (TESTS / "docs", TESTS / "quality/structure")
WHOLE_LIMN = frozenset({"limn", "shared_limn", "live_server", "browser"})
DATABASE = frozenset({"db", "transactional_db"})
SERVERS = frozenset({"fal", "seaweed_server", "redis_url"})
# Raised by Python before the system is asked: https://docs.python.org/3/library/audit_events.html
REFUSED_TO_UNIT_TESTS = frozenset({"socket.bind", "subprocess.Popen", "os.fork", "os.posix_spawn"})
_ANOTHER_KIND = re.compile(r"^pytestmark = .*\b(django_db|slow)\b", re.MULTILINE)
_refuses = False


def kind_of(item: pytest.Item) -> str:
    """The name of the item's marker."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if item.path.is_relative_to(END_TO_END) or fixtures & WHOLE_LIMN:
        return "e2e"
    if fixtures & DATABASE or item.get_closest_marker("django_db"):
        return "db"
    is_hypothesis_test = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    reads_all_files = any(item.path.is_relative_to(folder) for folder in WHOLE_REPOSITORY)
    if is_hypothesis_test or reads_all_files or fixtures & SERVERS or item.get_closest_marker("slow"):
        return "slow"
    return "unit"


def has_no_unit_test(path: Path) -> bool:
    """Whether a file need not be imported for `-m unit`: by its folder, or because its `pytestmark` names another kind.
    Without them the run takes half the time."""
    if any(path.is_relative_to(folder) for folder in (END_TO_END, *WHOLE_REPOSITORY)):
        return True
    return path.name.startswith("test_") and bool(_ANOTHER_KIND.search(path.read_text()))


@contextmanager
def held_to(kind: str) -> Iterator[None]:
    """Refuses processes and socket servers within the block, if the kind is `unit`."""
    global _refuses  # noqa: PLW0603  (an audit hook has no other way to know, and cannot be taken back)
    _refuses = kind == "unit"
    try:
        yield
    finally:
        _refuses = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _refuses and event in REFUSED_TO_UNIT_TESTS:
        raise RuntimeError(f"“{event}” in a unit test. Mark the test: pytest.mark.slow")


sys.addaudithook(_audit)
