"""Fixtures of the tests of outages: a deployment whose PostgreSQL a test may crash, and a user with orders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.outages.deployment import Deployment, deploy
from tests.fixtures.orders import alice, callbacks, close_fal_clients, order, submitted, work
from tests.plugin import simulator
from tests.services.postgres import Server, postgresql_server
from tests.services.waiting import until

__all__ = ["alice", "callbacks", "close_fal_clients", "order", "submitted", "work"]


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    """A PostgreSQL that no other test uses."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="module")
def running_deployment(
    database: Server, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """`manage.py serve` and `manage.py work` on that database."""
    with deploy(database.url, request.config.stash[simulator], tmp_path_factory.mktemp("deployment")) as running:
        yield running


@pytest.fixture
def deployment(running_deployment: Deployment) -> Deployment:
    """A healthy deployment. It may need some time to recover from the last test."""
    until(running_deployment.is_healthy, what="a healthy deployment")
    return running_deployment
