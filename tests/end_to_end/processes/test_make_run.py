"""`make run`, as a newcomer meets it: start, order with the printed command, look, end, start again."""

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

# As in a shell where nobody has set anything. `up` finds and tells the rest.
NOTHING_SET = dict.fromkeys(("FAL_KEY", "FAL_USER_ID", "FAL_QUEUE_URL", "FAL_JWKS_URL", "FAL_MEDIA_HOSTS"), "")


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Processes]:
    environment = {**NOTHING_SET, "DATABASE_URL": "", "DATA_DIR": str(tmp_path), "PORT": str(ports.free_port())}
    with processes(tmp_path, environment) as started:
        yield started


def test_the_printed_command_orders_a_picture_and_nothing_is_left_in_the_end(
    newcomer: Processes, tmp_path: Path
) -> None:
    limn = _make_run(newcomer)
    url, headers, body = _printed_curl(limn)
    family = psutil.Process(limn.pid).children(recursive=True)

    ordered = requests.post(url, headers=headers, data=body, timeout=HANG_SECONDS).json()
    done = until(lambda: _finished(ordered["urls"]["self"], headers), what="the picture")

    assert done["status"] == "completed"
    content = url.replace("/generations/", f"/outputs/{done['outputs'][0]['id']}/content/")
    picture = requests.get(content, headers=headers, timeout=HANG_SECONDS)
    assert len(picture.content) == done["outputs"][0]["size"] > 0
    assert run_command("sync_prices", environment=_beside(tmp_path)).returncode == 0
    assert limn.end(by=signal.SIGTERM) == 0
    assert len(family) >= 3
    assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


def test_the_second_start_shows_the_same_login(newcomer: Processes) -> None:
    first = _make_run(newcomer)
    assert first.end(by=signal.SIGINT) == 0

    second = _make_run(newcomer)

    assert _login(second) == _login(first)
    assert _printed_curl(second) == _printed_curl(first)


def _make_run(newcomer: Processes) -> RunningCommand:
    limn = newcomer("up")
    limn.wait_for_output("Ctrl-C ends Limn.")
    return limn


def _beside(newcomer: Path) -> dict[str, str]:
    """What docs/simulator.md tells commands that run beside it."""
    lines = (newcomer / "simulator/environment").read_text().splitlines()
    return {"DATA_DIR": str(newcomer), "DATABASE_URL": "", **dict(line.split("=", 1) for line in lines)}


def _login(limn: RunningCommand) -> tuple[str, ...]:
    return tuple(re.findall(r"(?:Log in|API key) +(.*)", limn.output))


def _printed_curl(limn: RunningCommand) -> tuple[str, dict[str, str], str]:
    """The address, headers and body of the command that a newcomer copies."""
    command = re.search(r"curl (?:.*\\\n)+.*", limn.output)
    assert command is not None
    _, url, *words = shlex.split(command[0].replace("\\\n", " "))
    options = list(zip(words[::2], words[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
    return url, headers, next(value for option, value in options if option == "-d")


def _finished(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """The generation, or nothing as long as it is not done."""
    generation: dict[str, Any] = requests.get(url, headers=headers, timeout=HANG_SECONDS).json()
    return generation if generation["finished_at"] else {}
