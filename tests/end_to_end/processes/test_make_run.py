"""`make run` in an empty folder without settings: start it, run the printed command, end it, and start it again."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from config.management import ports
from tests.services.processes import Processes, RunningCommand, processes, run_command
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.once

# As in a shell in which no setting is made. `up` starts the simulator and sets them itself.
NOTHING_SET = dict.fromkeys(("FAL_KEY", "FAL_USER_ID", "FAL_QUEUE_URL", "FAL_JWKS_URL", "FAL_MEDIA_HOSTS"), "")


@pytest.fixture
def limn(tmp_path: Path) -> Iterator[Processes]:
    """Processes in an empty data folder."""
    environment = {**NOTHING_SET, "DATABASE_URL": "", "DATA_DIR": str(tmp_path), "PORT": str(ports.free_port())}
    with processes(tmp_path, environment) as started:
        yield started


def test_the_printed_command_generates_an_image_and_all_processes_end(limn: Processes, tmp_path: Path) -> None:
    up = make_run(limn)
    url, headers, body = printed_curl(up)
    children = psutil.Process(up.pid).children(recursive=True)

    ordered = requests.post(url, headers=headers, data=body, timeout=HANG_SECONDS).json()
    generation = until(lambda: finished(ordered["urls"]["self"], headers), what="the image")

    assert generation["status"] == "completed"
    content_url = url.replace("/generations/", f"/outputs/{generation['outputs'][0]['id']}/content/")
    image = requests.get(content_url, headers=headers, timeout=HANG_SECONDS)
    assert len(image.content) == generation["outputs"][0]["size"] > 0
    assert run_command("sync_prices", environment=environment_beside(tmp_path)).returncode == 0
    assert up.end(by=signal.SIGTERM) == 0
    assert len(children) >= 3
    assert [one for one in children if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


def test_the_second_start_prints_the_same_login(limn: Processes) -> None:
    first = make_run(limn)
    assert first.end(by=signal.SIGINT) == 0

    second = make_run(limn)

    assert printed_login(second) == printed_login(first)
    assert printed_curl(second) == printed_curl(first)


def make_run(limn: Processes) -> RunningCommand:
    """Start `manage.py up`, and wait for its welcome."""
    up = limn("up")
    up.wait_for_output("Ctrl-C ends Limn.")
    return up


def environment_beside(folder: Path) -> dict[str, str]:
    """The environment that docs/simulator.md recommends for commands that run beside `make run`."""
    lines = (folder / "simulator/environment").read_text().splitlines()
    return {"DATA_DIR": str(folder), "DATABASE_URL": "", **dict(line.split("=", 1) for line in lines)}


def printed_login(up: RunningCommand) -> tuple[str, ...]:
    return tuple(re.findall(r"(?:Log in|API key) +(.*)", up.output))


def printed_curl(up: RunningCommand) -> tuple[str, dict[str, str], str]:
    """The URL, headers and body of the printed curl command."""
    command = re.search(r"curl (?:.*\\\n)+.*", up.output)
    assert command is not None
    _, url, *words = shlex.split(command[0].replace("\\\n", " "))
    options = list(zip(words[::2], words[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
    return url, headers, next(value for option, value in options if option == "-d")


def finished(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """The generation, or an empty dictionary while it is not finished."""
    generation: dict[str, Any] = requests.get(url, headers=headers, timeout=HANG_SECONDS).json()
    return generation if generation["finished_at"] else {}
