"""`serve` and `work` do not start on the storage of another deployment. Case J19."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from config.management import ports
from generations.files import storage_mark
from tests.services.processes import processes, run_command

pytestmark = pytest.mark.once


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A database with tables, and a new folder for files."""
    environment = {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": f"sqlite:///{tmp_path}/limn.sqlite3",
        "PORT": str(ports.free_port()),
        "MEDIA_ROOT": str(tmp_path / "media"),
    }
    run_command("migrate", environment=environment)
    return environment


@pytest.mark.parametrize("command", ["serve", "work"])
def test_j19_it_does_not_start_on_the_storage_of_another_deployment(
    environment: dict[str, str], command: str, tmp_path: Path
) -> None:
    mark = tmp_path / "media" / storage_mark.KEY
    mark.write_text(json.dumps({"deployment": str(uuid4()), "mark": str(uuid4())}))
    content = mark.read_text()

    ended = run_command(command, environment=environment)

    assert ended.returncode != 0
    last_line = ended.stderr.splitlines()[-1]
    assert last_line.startswith("CommandError: The storage belongs to another Limn. Set STORAGE_PREFIX")
    assert last_line.endswith("run: manage.py claim_storage")
    assert mark.read_text() == content


def test_it_starts_again_after_the_storage_is_claimed(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "media" / storage_mark.KEY).write_text("{}")
    assert run_command("work", environment=environment).returncode != 0

    claimed = run_command("claim_storage", environment=environment)

    assert "The storage belongs to this database now." in claimed.stdout
    with processes(tmp_path, environment) as limn:
        limn("work").wait_for_output("Working.")
