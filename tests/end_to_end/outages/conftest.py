"""The customer and the work of tests/generations, and a whole Limn on a PostgreSQL of its own, to be broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.outages.deployment import Deployment, deploy
from tests.fixtures.orders import alice, courier, order, submitted, tidy_connections, work
from tests.plugin import simulator
from tests.services.postgres import Server, postgresql_server
from tests.services.waiting import until

__all__ = ["alice", "courier", "order", "submitted", "tidy_connections", "work"]


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    """A PostgreSQL that no other test uses."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="module")
def built(
    database: Server, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """`manage.py serve` and `manage.py work` on that database."""
    with deploy(database, request.config.stash[simulator], tmp_path_factory.mktemp("deployment")) as running:
        yield running


@pytest.fixture
def deployment(built: Deployment) -> Deployment:
    """In good health: what the last test broke may still be coming back."""
    until(built.is_well, what="the deployment to be well again")
    return built
