"""The list of requests in the Platform API, with which Limn finds a submission whose response was lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from simulator import Simulator
from tests.simulator.queue_client import FLUX, VEO, QueueClient, get

PATH = "/v1/models/requests/by-endpoint"


def list_requests(client: QueueClient, **params: Any) -> Any:
    return client.http.get(PATH, params={"endpoint_id": FLUX, **params}).json()


def test_a_submission_without_a_response_is_found_by_its_inputs(fal: Simulator, queue_client: QueueClient) -> None:
    with pytest.raises(httpx.HTTPError):
        queue_client.submit("[drop_after_accept][hold]", inputs={"seed": 42})
    queue_client.enqueue(endpoint=VEO)

    (item,) = list_requests(queue_client, expand="payloads")["items"]

    assert item["request_id"] == fal.log.accepted(FLUX)[0].request_id
    assert (item["json_input"]["seed"], item["json_output"], "ended_at" in item) == (42, None, False)


def test_requests_are_filtered_by_outcome(queue_client: QueueClient) -> None:
    scenarios = {"success": "", "error": "[fail:internal_error]", "user_error": "[fail:content_policy_violation]"}
    request_ids = {outcome: queue_client.run(text).request_id for outcome, text in scenarios.items()}

    found = {outcome: list_requests(queue_client, status=outcome)["items"] for outcome in scenarios}

    assert {outcome: [item["request_id"] for item in items] for outcome, items in found.items()} == {
        outcome: [request_id] for outcome, request_id in request_ids.items()
    }
    assert [items[0]["status_code"] for items in found.values()] == [200, 500, 422]
    assert "json_input" not in found["success"][0]


def test_requests_are_listed_in_pages_newest_first(queue_client: QueueClient) -> None:
    request_ids = [queue_client.enqueue(inputs={"seed": seed}) for seed in range(3)]

    first = list_requests(queue_client, limit=2)
    second = list_requests(queue_client, limit=2, cursor=first["next_cursor"])

    assert [item["request_id"] for item in first["items"] + second["items"]] == request_ids[::-1]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


def test_requests_are_filtered_by_time(queue_client: QueueClient) -> None:
    request_id = queue_client.enqueue()
    later, now = ((datetime.now(UTC) + timedelta(seconds=seconds)).isoformat() for seconds in (60, 0))

    assert list_requests(queue_client, start=later)["items"] == []
    assert list_requests(queue_client, end=later, request_id=request_id)["items"][0]["sent_at"] <= now


def test_an_invalid_query_is_answered_in_the_envelope_of_the_platform_api(queue_client: QueueClient) -> None:
    for params in ({"endpoint_id": ""}, {"start": "yesterday"}, {"limit": "many"}):
        assert list_requests(queue_client, **params)["error"]["type"] == "validation_error", params


def test_the_list_requires_the_key(fal: Simulator) -> None:
    response = get(f"{fal.url}{PATH}", params={"endpoint_id": FLUX})

    assert (response.status_code, response.json()["error"]["type"]) == (401, "authorization_error")
