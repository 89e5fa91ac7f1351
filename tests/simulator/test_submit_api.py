"""Submissions: refusals, faults before and after fal accepts the job, and where scenarios are read from."""

from __future__ import annotations

import time

import httpx
import pytest

from simulator import Simulator, UnknownScenario
from simulator.scenario_table import GARBAGE, REFUSALS
from tests.simulator.queue_client import FLUX, NO_TLS, SPEED, TRIPO, CallbackReceiver, QueueClient

EDIT = "fal-ai/flux-2/edit"

DROPPED = (httpx.RemoteProtocolError, httpx.ReadError)


def test_a_refused_submission_leaves_no_job(fal: Simulator, queue_client: QueueClient) -> None:
    for choice in REFUSALS:
        response = queue_client.submit(f"[status:{choice}]")

        status, has_nginx_page = int(choice[:3]), choice in {"502", "503-nginx", "504-nginx"}
        has_request_id = choice in {"500", "503", "504"}
        assert response.status_code == status, choice
        assert ("nginx" in response.text) == has_nginx_page, choice
        assert ("x-fal-request-id" in response.headers) == has_request_id, choice
        assert ("Retry-After" in response.headers) == (choice == "429-retry-after"), choice
    assert [post.outcome for post in fal.log.posts()] == [f"refused {choice[:3]}" for choice in REFUSALS]
    assert fal.log.accepted() == []


def test_a_locked_account_is_reported_in_fals_words(queue_client: QueueClient) -> None:
    detail = queue_client.submit("[status:403]").json()["detail"]

    assert detail.startswith("User is locked. Reason: Exhausted balance.")


@pytest.mark.parametrize(
    "scenario, outcome", [("drop_before_accept", "dropped"), ("reset", "reset"), ("drop_after_accept", "accepted")]
)
def test_a_submission_without_a_response_is_logged_with_its_outcome(
    fal: Simulator, queue_client: QueueClient, scenario: str, outcome: str
) -> None:
    with pytest.raises(DROPPED):
        queue_client.submit(f"[{scenario}]")

    assert [post.outcome for post in fal.log.posts()] == [outcome]
    assert len(fal.log.accepted()) == (outcome == "accepted")


def test_a_reset_aborts_the_connection(queue_client: QueueClient) -> None:
    with pytest.raises(httpx.ReadError, match=r"reset"):
        queue_client.submit("[reset]")


def test_a_submission_that_is_never_answered_is_accepted(fal: Simulator, queue_client: QueueClient) -> None:
    with pytest.raises(httpx.ReadTimeout):
        queue_client.submit("[hang_after_accept]", timeout=0.2)

    assert fal.wait_until(fal.log.accepted)


def test_a_slow_submission_is_accepted_after_the_client_has_gone(fal: Simulator, queue_client: QueueClient) -> None:
    sent_at = time.time()
    with pytest.raises(httpx.ReadTimeout):
        queue_client.submit("[slow_accept:60]", timeout=0.1)

    assert fal.wait_until(fal.log.accepted)
    assert fal.log.accepted()[0].accepted_at - sent_at >= 60 / SPEED


def test_a_dripping_response_arrives_byte_by_byte(queue_client: QueueClient) -> None:
    request = queue_client.http.build_request("POST", f"/{FLUX}", json={"prompt": "a fox [drip]"})

    response = queue_client.http.send(request, stream=True)

    first = next(response.iter_raw(chunk_size=1))
    response.close()
    assert (response.status_code, first) == (200, b"{")


def test_an_unusable_response_belongs_to_a_job_that_was_accepted(fal: Simulator, queue_client: QueueClient) -> None:
    earlier = queue_client.submit("a cat").json()["request_id"]
    # The other one needs an acknowledged callback.
    choices = GARBAGE.keys() - {"same_request_id"}
    for choice in sorted(choices, key="other_request".__ne__):
        response = queue_client.submit(f"[garbage200:{choice}]")

        text, request_id = response.text, fal.log.accepted()[-1].request_id
        is_unusable = {
            "json": not text.endswith("}"),
            "html": "<h1>" in text,
            "no_request_id": '"request_id"' not in text,
            "big": len(text) > 10_000_000,
            "wrong_host": f"{fal.canary_url}/fal-ai/flux/requests/{request_id}/status" in text,
            "other_request": f"{fal.url}/fal-ai/flux/requests/{earlier}/status" in text and request_id in text,
        }
        assert response.status_code == 200, choice
        assert is_unusable[choice], choice
        # Without this header, the client cannot find the job by its response.
        assert "x-fal-request-id" not in response.headers, choice
    assert len(fal.log.accepted()) == len(choices) + 1


def test_a_response_names_a_request_that_the_client_knows(
    fal: Simulator, queue_client: QueueClient, receiver: CallbackReceiver
) -> None:
    known = queue_client.run(webhook=receiver.url).request_id
    assert fal.wait_until(lambda: queue_client.record(known).callback == "acknowledged")
    queue_client.submit("another job")

    answer = queue_client.submit("[garbage200:same_request_id]", webhook=receiver.url).json()

    assert answer["request_id"] == known
    assert answer["status_url"] == f"{fal.url}/fal-ai/flux/requests/{known}/status"
    assert fal.log.accepted()[-1].request_id != known


def test_the_canary_records_clients_that_follow_a_redirect(fal: Simulator, queue_client: QueueClient) -> None:
    response = queue_client.submit("[redirect]")

    assert (response.status_code, fal.log.visits()) == (307, [])
    httpx.post(response.headers["Location"], headers={"Authorization": "Key leaked"}, trust_env=False, verify=NO_TLS)
    assert [visit.headers["authorization"] for visit in fal.log.visits()] == ["Key leaked"]


def test_a_redirect_can_name_its_target(queue_client: QueueClient) -> None:
    response = queue_client.submit("[redirect:127.0.0.1:9]")

    assert response.headers["Location"] == f"http://127.0.0.1:9/{FLUX}"


def test_a_fault_can_be_limited_to_the_first_submissions(queue_client: QueueClient) -> None:
    statuses = [queue_client.submit("[status:429x2]").status_code for _ in range(3)]

    assert statuses == [429, 429, 200]


def test_a_submission_with_another_seed_is_the_same_submission(queue_client: QueueClient) -> None:
    statuses = [queue_client.submit("[status:429x1]", inputs={"seed": seed}).status_code for seed in (7, 8)]

    assert statuses == [429, 200]


def test_a_url_that_is_signed_again_belongs_to_the_same_submission(queue_client: QueueClient) -> None:
    urls = [f"https://example.com/{name}?X-Amz-Signature={n}" for name in ("fox", "cat") for n in range(2)]
    edits = [queue_client.submit("[status:429x1]", endpoint=EDIT, inputs={"image_urls": [url]}) for url in urls]

    assert [edit.status_code for edit in edits] == [429, 200, 429, 200]


def test_a_script_applies_to_the_next_submissions_only(fal: Simulator, queue_client: QueueClient) -> None:
    fal.script("status:503", times=2)
    fal.script("[status:402]")

    assert [queue_client.submit().status_code for _ in range(4)] == [503, 503, 402, 200]


def test_always_applies_until_it_is_cleared(fal: Simulator, queue_client: QueueClient) -> None:
    fal.always("status:500")
    before = [queue_client.submit().status_code for _ in range(2)]

    fal.clear()

    assert (before, queue_client.submit().status_code) == ([500, 500], 200)


def test_scenarios_are_read_from_a_header(queue_client: QueueClient) -> None:
    assert queue_client.submit(headers={"X-Simulator-Scenario": "status:409"}).status_code == 409


def test_scenarios_are_read_from_a_url_for_models_without_a_prompt(queue_client: QueueClient) -> None:
    url = "https://example.com/%5Bstatus:503%5D/fox.png"

    assert queue_client.submit(endpoint=TRIPO, inputs={"image_url": url}).status_code == 503


def test_an_unknown_scenario_is_an_error_except_in_a_prompt(fal: Simulator, queue_client: QueueClient) -> None:
    response = queue_client.submit(headers={"X-Simulator-Scenario": "explode"})

    assert (response.status_code, "no scenario “explode”" in response.json()["detail"]) == (400, True)
    assert queue_client.submit("[explode] [slow:soon] [fail:banana]").status_code == 200
    with pytest.raises(UnknownScenario, match="explode"):
        fal.script("explode")


def test_a_body_without_a_length_is_refused(queue_client: QueueClient) -> None:
    assert queue_client.http.post(f"/{FLUX}", content=iter([b"{}"])).status_code == 411


def test_a_body_that_is_not_json_is_refused_at_once(queue_client: QueueClient) -> None:
    assert queue_client.http.post(f"/{FLUX}", content=b"{").status_code == 422


def test_a_submission_can_decline_a_long_queue(queue_client: QueueClient) -> None:
    for number in range(3):
        queue_client.enqueue("[queue:999999]", inputs={"seed": number})

    assert queue_client.submit(params={"fal_max_queue_length": "2"}).status_code == 429
    assert queue_client.submit(params={"fal_max_queue_length": "3"}).status_code == 200
