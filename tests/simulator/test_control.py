"""The simulator's own API, its page, its memory, and the program."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator import SCENARIO_TYPES, Simulator
from tests.simulator.customer import NO_TLS, Customer, Receiver, get


def order(fal: Simulator, name: str, **details: Any) -> httpx.Response:
    return httpx.post(f"{fal.url}/_simulator/{name}", json=details, trust_env=False, verify=NO_TLS)


def read(fal: Simulator, name: str, **params: str) -> Any:
    return get(f"{fal.url}/_simulator/{name}", params=params).json()


def test_scenarios_can_be_ordered_over_http(fal: Simulator, customer: Customer) -> None:
    order(fal, "script", scenarios=["status:503"], times=2)
    order(fal, "always", scenarios="status:402")
    before = [customer.submit().status_code for _ in range(3)]

    order(fal, "clear")

    assert (before, customer.submit().status_code) == ([503, 503, 402], 200)


def test_the_log_can_be_read_over_http(fal: Simulator, customer: Customer, inbox: Receiver) -> None:
    request = customer.completed(webhook=inbox.url)
    assert fal.wait_until(fal.log.callbacks)

    log = read(fal, "log")

    assert {name: len(entries) for name, entries in log.items()} == {
        **dict.fromkeys(["posts", "accepted", "callbacks", "files"], 1),
        **dict.fromkeys(["served", "visits"], 0),
    }
    assert read(fal, "log/callbacks", request_id=request.request_id)[0]["status"] == 200
    assert log["posts"][0]["request_id"] == request.request_id


def test_a_held_job_can_be_finished_over_http(fal: Simulator, customer: Customer) -> None:
    request_id = customer.order("[hold]")
    body = read(fal, "callback_body", request_id=request_id)["body"]

    reply = order(fal, "finish", request_id=request_id)

    assert (reply.json(), customer.state(request_id)) == ({"finished": True}, "COMPLETED")
    assert body.encode() == fal.callback_body(request_id)


def test_keys_can_be_used_and_changed_over_http(fal: Simulator) -> None:
    headers = order(fal, "sign", body="{}", request_id="r", timestamp=1).json()
    assert headers == fal.sign(b"{}", request_id="r", timestamp=1)

    order(fal, "rotate", keep_previous=False)
    order(fal, "jwks", mode="empty")

    assert fal.sign(b"{}", request_id="r", timestamp=1) != headers
    assert get(fal.environment()["FAL_JWKS_URL"]).json() == {"keys": []}
    assert read(fal, "jwks") == {"fetches": 1}


WRONG_ORDERS = [
    ("explode", {}, 404),
    ("finish", {}, 400),
    ("jwks", {"mode": "odd"}, 400),
    ("script", {"scenarios": ["odd"]}, 400),
]


@pytest.mark.parametrize("name, details, status", WRONG_ORDERS)
def test_a_wrong_order_is_refused_with_a_sentence(fal: Simulator, name: str, details: Any, status: int) -> None:
    reply = order(fal, name, **details)

    assert (reply.status_code, bool(reply.json()["detail"])) == (status, True)


def test_reset_forgets_everything_but_the_account(fal: Simulator, customer: Customer) -> None:
    environment = read(fal, "environment")
    fal.always("status:503")
    customer.submit()

    order(fal, "reset")

    assert (fal.log.posts(), fal.log.accepted(), fal.jwks_fetches) == ([], [], 0)
    assert customer.submit().status_code == 200
    assert fal.environment() == environment


def test_the_page_lists_requests_and_words(fal: Simulator, customer: Customer) -> None:
    request = customer.completed("<script>[fail:image_too_small]")

    page = get(fal.url).text

    assert request.request_id in page
    assert ("image_too_small" in page, "a fox &lt;script&gt;" in page, "<script>" in page) == (True, True, False)
    assert [word.name for word in SCENARIO_TYPES if f"<code>{word.name}</code>" not in page] == []


def test_waiting_ends_without_an_event_when_time_is_up(fal: Simulator) -> None:
    began = time.monotonic()

    assert not fal.wait_until(lambda: False, timeout=0.1)
    assert 0.1 <= time.monotonic() - began < 2


def test_jobs_and_keys_survive_a_restart(tmp_path: Path, inbox: Receiver) -> None:
    with Simulator(tmp_path, speed=200) as fal:
        before = fal.environment() | {"FAL_QUEUE_URL": "", "FAL_JWKS_URL": "", "FAL_MEDIA_HOSTS": ""}
        with (somebody := Customer(fal)).http:
            request_id = somebody.order("[queue:200]", webhook=inbox.url)

    with Simulator(tmp_path, speed=2000) as fal:
        assert fal.wait_until(lambda: fal.log.callbacks(request_id))
        after = fal.environment()

    assert (after["FAL_KEY"], after["FAL_USER_ID"]) == (before["FAL_KEY"], before["FAL_USER_ID"])
    assert [letter.json["request_id"] for letter in inbox.letters] == [request_id]
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_a_file_is_drawn_again_after_a_restart(tmp_path: Path) -> None:
    with Simulator(tmp_path, speed=200) as fal, (somebody := Customer(fal)).http:
        somebody.completed()
        (file,) = fal.log.files()
        first = get(f"{fal.url}{file.path}").content

    with Simulator(tmp_path, speed=200) as fal:
        assert get(f"{fal.url}{file.path}").content == first


@contextmanager
def program(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "simulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_says_when_it_is_ready_and_ends_when_told(tmp_path: Path, number: signal.Signals) -> None:
    with program("--port", "0", "--data-dir", str(tmp_path), "--quiet") as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        url = ready.removeprefix("fal simulator ready on ").strip()
        get(url).raise_for_status()

        began = time.monotonic()
        process.send_signal(number)

        assert (process.wait(5), time.monotonic() - began < 2) == (0, True)
        assert ready.startswith("fal simulator ready on http://127.0.0.1:")


def test_a_port_in_use_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with program("--port", str(port)) as process:
            _, errors = process.communicate(timeout=20)

    assert process.returncode == 1
    assert errors == f"Port {port} is in use. End the program that uses it, or choose another with --port.\n"
