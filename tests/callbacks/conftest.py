"""The customer and the work of tests/generations, with keys that no other test has fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from generations import wiring
from generations.models import Submission
from simulator import Simulator
from tests.conftest import url_of_the_test_database
from tests.generations.conftest import Ordering, alice, courier, order, submitted, tidy_connections, work
from tests.generations.work import Work
from tests.services.processes import Processes, processes

__all__ = ["alice", "courier", "order", "submitted", "tidy_connections", "work"]


@pytest.fixture(autouse=True)
def fresh_keys() -> None:
    """Keys are cached for a day; a test that switches fal's key page wants its own cache."""
    wiring._keys.cache_clear()


Hiring = Callable[[int], list[Submission]]


@pytest.fixture
def hire(fal: Simulator, order: Ordering, work: Work) -> Hiring:
    """`hire(20)`: so many accepted attempts that run at fal until somebody finishes them. fal itself calls nobody."""

    def several(count: int) -> list[Submission]:
        fal.script("hold", "callback:lost", times=count)
        generations = [order() for _ in range(count)]
        while work.submit():
            pass
        return [generation.submissions.get() for generation in generations]

    return several


@pytest.fixture(scope="module")
def town(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Starts processes that serve a whole module of tests; its rows come and go beneath them."""
    with processes(tmp_path_factory.mktemp("town"), {"DATABASE_URL": url_of_the_test_database()}) as started:
        yield started
