"""Processes that start while PostgreSQL is away: they say so, go on trying, and work when it is back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from config.management.ports import free_port
from simulator import Simulator
from tests.end_to_end.outages.deployment import Deployment
from tests.services.postgres import Server
from tests.services.processes import Processes, processes, run_command
from tests.services.waiting import until

pytestmark = pytest.mark.only_postgresql


@pytest.fixture
def limn(database: Server, tmp_path, fal: Simulator) -> Iterator[Processes]:
    environment = {"DATABASE_URL": database.url, "DATA_DIR": str(tmp_path), "PORT": str(free_port())}
    run_command("migrate", environment=environment)
    with processes(tmp_path, environment) as started:
        yield started


def test_migrate_makes_the_queues_own_tables(database: Server, limn: Processes) -> None:
    """Nobody else does. Without them every nudge would be lost, and all would wait for the sweep."""
    with psycopg.connect(database.url) as connection:
        found = connection.execute("SELECT to_regclass('huey_task'), to_regclass('huey_schedule')").fetchone()

    assert found == ("huey_task", "huey_schedule")


def test_they_begin_to_work_when_it_is_back(database: Server, limn: Processes, fal: Simulator) -> None:
    demo = run_command("demo_user", "--json", "--credits", "1000", environment=limn.environment)
    database.crash()
    worker, web = limn("work"), limn("serve", "--workers", "1")
    worker.wait_for_output("the database is away")
    web.wait_for_response(f"http://127.0.0.1:{limn.environment['PORT']}/health/live")
    database.start()

    url = f"http://127.0.0.1:{limn.environment['PORT']}"
    deployment = Deployment(url=url, token=json.loads(demo.stdout)["token"], fal=fal, limn=limn)
    until(lambda: deployment.ask("/api/v1/credits/").status == 200)
    address = f"/api/v1/generations/{deployment.order()}/"
    assert until(lambda: deployment.ask(address).body["status"] == "completed")
