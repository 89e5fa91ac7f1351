"""`manage.py serve`: error messages at the start, the addresses it listens on, and its end by SIGTERM."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from config.management import ports
from tests.services.processes import processes, run_command

pytestmark = pytest.mark.once


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"DATA_DIR": str(tmp_path / "data")}


def test_without_fal_key_the_error_names_it_and_make_run(environment: dict[str, str]) -> None:
    serve = run_command("serve", environment={**environment, "FAL_KEY": ""})

    assert serve.returncode != 0
    assert serve.stderr.splitlines()[-1] == (
        "CommandError: FAL_KEY is not set. Set it to your key, or try Limn without one: make run"
    )


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_port_in_use_is_named_without_a_traceback(environment: dict[str, str], command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]
        ended = run_command(command, environment={**environment, "PORT": str(port)})

    assert ended.returncode != 0
    assert f"Port {port} is in use." in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_listens_on_the_loopback_address_only_and_ends_at_sigterm(
    environment: dict[str, str], tmp_path: Path
) -> None:
    port = ports.free_port()
    with processes(tmp_path, environment) as limn:
        server = limn("serve", "--port", str(port), "--workers", "1")

        page = server.wait_for_response(f"http://127.0.0.1:{port}/admin/login/")

        assert "Log in | Limn" in page.text
        assert addresses_listened_on(server.pid) == {"127.0.0.1"}
        assert server.end() == 0


def addresses_listened_on(pid: int) -> set[str]:
    family = [psutil.Process(pid), *psutil.Process(pid).children()]
    return {held.laddr.ip for process in family for held in process.net_connections() if held.status == "LISTEN"}
