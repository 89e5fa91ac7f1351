"""The control API, the index page, and waiting for the log."""

from __future__ import annotations

import time
from typing import Any

import httpx

from simulator import SCENARIO_TYPES, Simulator
from tests.simulator.queue_client import NO_TLS, CallbackReceiver, QueueClient, get


def post(fal: Simulator, name: str, **parameters: Any) -> httpx.Response:
    return httpx.post(f"{fal.url}/_simulator/{name}", json=parameters, trust_env=False, verify=NO_TLS, timeout=60)


def read(fal: Simulator, name: str, **params: str) -> Any:
    return get(f"{fal.url}/_simulator/{name}", params=params).json()


def test_scenarios_are_chosen_over_http(fal: Simulator, queue_client: QueueClient) -> None:
    post(fal, "script", scenarios=["status:503"], times=2)
    post(fal, "always", scenarios="status:402")
    before = [queue_client.submit().status_code for _ in range(3)]

    post(fal, "clear")

    assert (before, queue_client.submit().status_code) == ([503, 503, 402], 200)


def test_the_log_is_read_over_http(fal: Simulator, queue_client: QueueClient, receiver: CallbackReceiver) -> None:
    request = queue_client.run(webhook=receiver.url)
    assert fal.wait_until(fal.log.callbacks)

    log = read(fal, "log")

    assert {name: len(records) for name, records in log.items()} == {
        **dict.fromkeys(["posts", "accepted", "callbacks", "files"], 1),
        **dict.fromkeys(["served", "visits"], 0),
    }
    assert read(fal, "log/callbacks", request_id=request.request_id)[0]["status"] == 200
    assert log["posts"][0]["request_id"] == request.request_id


def test_a_held_job_is_finished_over_http(fal: Simulator, queue_client: QueueClient) -> None:
    request_id = queue_client.enqueue("[hold]")
    body = read(fal, "callback_body", request_id=request_id)["body"]

    response = post(fal, "finish", request_id=request_id)

    assert (response.json(), queue_client.record(request_id).state) == ({"finished": True}, "COMPLETED")
    assert body.encode() == fal.callback_body(request_id)


def test_keys_are_used_and_rotated_over_http(fal: Simulator) -> None:
    headers = post(fal, "sign", body="{}", request_id="r", timestamp=1).json()
    assert headers == fal.sign(b"{}", request_id="r", timestamp=1)

    post(fal, "rotate", keep_previous=False)
    post(fal, "jwks", mode="empty")

    assert fal.sign(b"{}", request_id="r", timestamp=1) != headers
    assert get(fal.environment()["FAL_JWKS_URL"]).json() == {"keys": []}
    assert read(fal, "jwks") == {"fetches": 1}


def test_a_wrong_command_is_refused_with_a_sentence(fal: Simulator) -> None:
    wrong: list[tuple[str, dict[str, Any], int]] = [
        ("explode", {}, 404),
        ("finish", {}, 400),
        ("jwks", {"mode": "odd"}, 400),
        ("script", {"scenarios": ["odd"]}, 400),
    ]

    for name, parameters, status in wrong:
        response = post(fal, name, **parameters)
        assert (response.status_code, bool(response.json()["detail"])) == (status, True), name


def test_a_reset_keeps_only_the_account(fal: Simulator, queue_client: QueueClient) -> None:
    environment = read(fal, "environment")
    fal.always("status:503")
    queue_client.submit()

    post(fal, "reset")

    assert (fal.log.posts(), fal.log.accepted(), fal.jwks_fetches) == ([], [], 0)
    assert queue_client.submit().status_code == 200
    assert fal.environment() == environment


def test_the_page_lists_requests_and_scenarios(fal: Simulator, queue_client: QueueClient) -> None:
    request = queue_client.run("<script>[fail:image_too_small]")

    page = get(fal.url).text

    assert request.request_id in page
    assert ("image_too_small" in page, "a fox &lt;script&gt;" in page, "<script>" in page) == (True, True, False)
    assert [each.name for each in SCENARIO_TYPES if f"<code>{each.name}</code>" not in page] == []


def test_the_page_lists_requests_whose_payloads_were_deleted(fal: Simulator, queue_client: QueueClient) -> None:
    request = queue_client.run()
    fal.log.delete_payloads(request.request_id)

    assert request.request_id in get(fal.url).text


def test_waiting_ends_when_the_time_is_up(fal: Simulator) -> None:
    started_at = time.monotonic()

    assert not fal.wait_until(lambda: False, timeout=0.1)
    assert time.monotonic() - started_at >= 0.1


def test_only_the_requests_of_one_receiver_grow_older(
    fal: Simulator, queue_client: QueueClient, receiver: CallbackReceiver
) -> None:
    ours, theirs = queue_client.run(webhook=receiver.url), queue_client.run(webhook="http://127.0.0.1:9/")

    post(fal, "age", seconds=3600, webhook_url=receiver.url[:-1])

    assert queue_client.record(ours.request_id).accepted_at == ours.accepted_at - 3600
    assert queue_client.record(theirs.request_id).accepted_at == theirs.accepted_at
