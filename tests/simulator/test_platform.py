"""fal's list of requests, with which a lost answer is found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from simulator import Simulator
from tests.simulator.customer import FLUX, VEO, Customer, get

PATH = "/v1/models/requests/by-endpoint"


def listed(customer: Customer, **params: Any) -> Any:
    return customer.http.get(PATH, params={"endpoint_id": FLUX, **params}).json()


def test_a_lost_answer_is_found_by_its_input(fal: Simulator, customer: Customer) -> None:
    with pytest.raises(httpx.HTTPError):
        customer.submit("[drop_after_accept][hold]", inputs={"seed": 42})
    customer.order(endpoint=VEO)

    (item,) = listed(customer, expand="payloads")["items"]

    assert item["request_id"] == fal.log.accepted(FLUX)[0].request_id
    assert (item["json_input"]["seed"], item["json_output"], "ended_at" in item) == (42, None, False)


def test_the_outcome_is_told_and_filtered(customer: Customer) -> None:
    good = customer.completed()
    bad = customer.completed("[fail:internal_error]")
    wrong = customer.completed("[fail:content_policy_violation]")

    found = {status: listed(customer, status=status)["items"] for status in ("success", "error", "user_error")}

    assert [item["request_id"] for items in found.values() for item in items] == [
        request.request_id for request in (good, bad, wrong)
    ]
    assert [items[0]["status_code"] for items in found.values()] == [200, 500, 422]
    assert "json_input" not in found["success"][0]


def test_the_list_is_read_page_by_page_the_newest_first(customer: Customer) -> None:
    ordered = [customer.order(inputs={"seed": seed}) for seed in range(3)]

    first = listed(customer, limit=2)
    second = listed(customer, limit=2, cursor=first["next_cursor"])

    assert [item["request_id"] for item in first["items"] + second["items"]] == ordered[::-1]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


def test_the_list_can_be_limited_in_time(customer: Customer) -> None:
    request_id = customer.order()
    soon, now = ((datetime.now(UTC) + timedelta(seconds=s)).isoformat() for s in (60, 0))

    assert listed(customer, start=soon)["items"] == []
    assert listed(customer, end=soon, request_id=request_id)["items"][0]["sent_at"] <= now


@pytest.mark.parametrize("params", [{"endpoint_id": ""}, {"start": "yesterday"}, {"limit": "many"}])
def test_a_wrong_question_is_answered_in_the_platforms_envelope(customer: Customer, params: dict[str, str]) -> None:
    assert listed(customer, **params)["error"]["type"] == "validation_error"


def test_the_list_wants_the_key(fal: Simulator) -> None:
    reply = get(f"{fal.url}{PATH}", params={"endpoint_id": FLUX})

    assert (reply.status_code, reply.json()["error"]["type"]) == (401, "authorization_error")
