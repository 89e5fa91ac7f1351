"""Limn behind PgBouncer in transaction mode, where neither LISTEN nor settings of a session last."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator import Simulator
from tests.end_to_end.outages.deployment import deploy
from tests.services.pgbouncer import pgbouncer
from tests.services.postgres import Server
from tests.services.waiting import until

pytestmark = pytest.mark.only_postgresql


def test_an_order_is_completed_behind_pgbouncer(database: Server, fal: Simulator, tmp_path: Path) -> None:
    with pgbouncer(database.url) as url, deploy(url, fal, tmp_path) as deployment:
        # Requests at the same time share the connections of PgBouncer, and what is prepared on them.
        assert all(deployment.is_healthy() for _ in range(5))
        path = f"/api/v1/generations/{deployment.order()}/"

        assert until(lambda: deployment.request(path).body["status"] == "completed")
