"""`python -m simulator`: starting, stopping, and what a data directory keeps."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator import Simulator
from tests.services.waiting import HANG_SECONDS
from tests.simulator.queue_client import CallbackReceiver, QueueClient, get

pytestmark = pytest.mark.slow


@contextmanager
def program(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "simulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_says_when_it_is_ready_and_stops_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with program("--port", "0", "--data-dir", str(tmp_path), "--quiet") as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        url = ready.removeprefix("fal simulator ready on ").strip()
        get(url).raise_for_status()

        process.send_signal(number)

        assert process.wait(HANG_SECONDS) == 0
        assert ready.startswith("fal simulator ready on http://127.0.0.1:")


def test_a_port_in_use_is_reported_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with program("--port", str(port)) as process:
            _, errors = process.communicate(timeout=HANG_SECONDS)

    assert process.returncode == 1
    assert errors == f"Port {port} is in use. End the program that uses it, or choose another with --port.\n"


def test_a_speed_of_zero_is_refused() -> None:
    with program("--speed", "0") as process:
        _, errors = process.communicate(timeout=HANG_SECONDS)

    assert process.returncode == 2
    assert "--speed: must be greater than 0" in errors


def test_jobs_and_keys_survive_a_restart(tmp_path: Path, receiver: CallbackReceiver) -> None:
    with Simulator(tmp_path, speed=200) as fal, (client := QueueClient(fal)).http:
        before = fal.environment()
        # Still in the queue when this simulator stops.
        request_id = client.enqueue("[queue:2000]", webhook=receiver.url)

    with Simulator(tmp_path, speed=20_000) as fal:
        assert fal.wait_until(lambda: fal.log.callbacks(request_id))
        after = fal.environment()

    assert (after["FAL_KEY"], after["FAL_USER_ID"]) == (before["FAL_KEY"], before["FAL_USER_ID"])
    assert [callback.json["request_id"] for callback in receiver.callbacks] == [request_id]
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_a_file_has_the_same_content_after_a_restart(tmp_path: Path) -> None:
    with Simulator(tmp_path, speed=200) as fal, (client := QueueClient(fal)).http:
        client.run()
        (file,) = fal.log.files()
        first = get(f"{fal.url}{file.path}").content

    with Simulator(tmp_path, speed=200) as fal:
        assert get(f"{fal.url}{file.path}").content == first
