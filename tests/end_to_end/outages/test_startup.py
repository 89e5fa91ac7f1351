"""Processes that start while PostgreSQL is unavailable log it, retry, and work as soon as it is back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

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
def limn(database: Server, tmp_path: Path, fal: Simulator) -> Iterator[Processes]:
    """Starts processes on the migrated database of this module."""
    environment = {"DATABASE_URL": database.url, "DATA_DIR": str(tmp_path), "PORT": str(free_port())}
    run_command("migrate", environment=environment)
    with processes(tmp_path, environment) as started:
        yield started


def test_migrate_creates_the_tables_of_the_queue(database: Server, limn: Processes) -> None:
    """No other command does. Without them every queue message is lost, and work waits for the next poll."""
    with psycopg.connect(database.url) as connection:
        query = "SELECT relname, relpersistence FROM pg_class WHERE relname IN ('huey_task', 'huey_schedule')"
        found = connection.execute(query).fetchall()

    unlogged = "u"  # A message costs no write to the disk.
    assert sorted(found) == [("huey_schedule", unlogged), ("huey_task", unlogged)]


def test_processes_started_during_an_outage_work_after_it(database: Server, limn: Processes, fal: Simulator) -> None:
    demo = run_command("demo_user", "--json", "--credits", "1000", environment=limn.environment)
    url = f"http://127.0.0.1:{limn.environment['PORT']}"
    database.crash()
    worker, web = limn("work"), limn("serve", "--workers", "1")
    worker.wait_for_output("the database is unavailable")
    web.wait_for_response(f"{url}/health/live")
    database.start()

    deployment = Deployment(url=url, token=json.loads(demo.stdout)["token"], fal=fal, limn=limn)
    until(lambda: deployment.request("/api/v1/credits/").status == 200)
    path = f"/api/v1/generations/{deployment.order()}/"
    assert until(lambda: deployment.request(path).body["status"] == "completed")
