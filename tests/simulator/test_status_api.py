"""The life of a request as a client sees it: status, result, cancellation, and the faults of each URL."""

from __future__ import annotations

import httpx
import pytest

from simulator import Simulator
from tests.services.waiting import until
from tests.simulator.queue_client import FLUX, TRIPO, QueueClient


def test_a_submission_is_answered_with_urls_without_the_sub_path(fal: Simulator, queue_client: QueueClient) -> None:
    response = queue_client.submit()

    body = response.json()
    url = f"{fal.url}/fal-ai/flux/requests/{body['request_id']}"
    assert (response.status_code, body["status"], body["queue_position"]) == (200, "IN_QUEUE", 1)
    assert (body["response_url"], body["status_url"], body["cancel_url"]) == (url, f"{url}/status", f"{url}/cancel")
    assert response.headers["x-fal-request-id"] == body["request_id"]


def test_the_status_is_202_until_the_job_has_completed(fal: Simulator, queue_client: QueueClient) -> None:
    request_id = queue_client.enqueue("[hold]")
    queue_client.wait_for(request_id, "IN_PROGRESS")
    running = queue_client.status(request_id)

    fal.finish(request_id)

    done = queue_client.status(request_id)
    assert (running.status_code, running.json()["status"], running.json()["logs"]) == (202, "IN_PROGRESS", None)
    assert (done.status_code, done.json()["status"]) == (200, "COMPLETED")
    assert done.json()["metrics"]["inference_time"] > 0


def test_the_queue_position_falls(queue_client: QueueClient) -> None:
    # 999,999 s of fal's time are more than an hour here.
    request_id = queue_client.enqueue("[queue:999999]")

    first = queue_client.status(request_id).json()["queue_position"]

    until(lambda: 0 < queue_client.status(request_id).json()["queue_position"] < first <= 999_999)
    assert queue_client.status(request_id).json()["status"] == "IN_QUEUE"


def test_logs_are_returned_only_on_request(queue_client: QueueClient) -> None:
    request_id = queue_client.run(endpoint=TRIPO).request_id

    without, with_logs = queue_client.status(request_id), queue_client.status(request_id, logs=1)

    assert without.json()["logs"] is None
    assert [line["message"] for line in with_logs.json()["logs"]][0::5] == ["Initializing model", "Finalizing output"]


def test_the_result_is_the_answer_of_the_model(queue_client: QueueClient) -> None:
    request = queue_client.run(inputs={"num_images": 2, "seed": 7})

    response = queue_client.result(request.request_id)

    images = response.json()["images"]
    # Two images of one started megapixel each.
    assert response.headers["X-Fal-Billable-Units"] == "2"
    assert response.json()["seed"] == 7
    assert [(image["width"], image["height"], image["content_type"]) for image in images] == [
        (256, 256, "image/jpeg")
    ] * 2


def test_invalid_inputs_are_reported_when_the_job_starts(queue_client: QueueClient) -> None:
    request = queue_client.run(inputs={"num_images": 99})

    response = queue_client.result(request.request_id)

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "num_images"]
    assert queue_client.status(request.request_id).json()["error_type"] == "less_than_equal"


def test_a_lone_surrogate_is_refused_in_valid_json(queue_client: QueueClient) -> None:
    response = queue_client.http.post(f"/{FLUX}", content=b'{"prompt": "\\ud800"}')
    request = queue_client.wait_for(response.json()["request_id"], "COMPLETED")

    assert queue_client.result(request.request_id).json()["detail"][0]["loc"] == ["body", "input"]


def test_an_unknown_key_is_refused(fal: Simulator) -> None:
    calls = [("POST", f"/{FLUX}"), ("GET", "/fal-ai/flux/requests/x/status"), ("GET", "/fal-ai/flux/requests/x")]

    for method, path in calls:
        response = httpx.request(method, f"{fal.url}{path}", headers={"Authorization": "Key x"}, timeout=60)
        assert (response.status_code, response.json()) == (401, {"detail": "invalid key credentials"}), path


def test_an_unknown_model_and_an_unknown_request_are_not_found(queue_client: QueueClient) -> None:
    request_id = queue_client.enqueue()

    assert queue_client.submit(endpoint="fal-ai/nothing").status_code == 404
    assert queue_client.http.get("/fal-ai/flux/requests/nothing/status").json() == {"status": "NOT_FOUND"}
    assert queue_client.http.get(f"/fal-ai/other/requests/{request_id}/status").status_code == 404


def test_there_is_no_result_before_the_job_has_completed(queue_client: QueueClient) -> None:
    assert queue_client.result(queue_client.enqueue("[hold]")).status_code == 400


def test_a_job_that_does_not_start_in_time_fails(queue_client: QueueClient) -> None:
    for header in ("X-Fal-Request-Timeout", "X-Fal-Request-Start-Timeout"):
        request = queue_client.run("[queue:5]", headers={header: "2.0"})

        response = queue_client.result(request.request_id)

        assert (response.status_code, response.headers["X-Fal-Request-Timeout-Type"]) == (504, "user"), header


@pytest.mark.slow
def test_a_result_expires_after_an_hour() -> None:
    # An hour of fal's is 0.18 s here.
    with Simulator(speed=20_000) as fal, (client := QueueClient(fal)).http:
        request = client.run()

        until(lambda: client.result(request.request_id).status_code == 404)
        assert client.status(request.request_id).json() == {"status": "NOT_FOUND"}


def test_a_large_result_expires_after_six_minutes(queue_client: QueueClient) -> None:
    small, large = queue_client.run(), queue_client.run("[outputs:data_uri]", inputs={"num_images": 4})

    assert (small.result_seconds, large.result_seconds) == (3600, 360)


def test_a_cancelled_job_in_the_queue_never_runs(queue_client: QueueClient) -> None:
    request_id = queue_client.enqueue("[queue:999999]")

    response = queue_client.cancel(request_id)

    status = queue_client.status(request_id).json()
    assert (response.status_code, response.json()) == (200, {"status": "OK"})
    assert (status["status"], status["error_type"]) == ("COMPLETED", "client_cancelled")
    assert queue_client.result(request_id).status_code == 499


@pytest.mark.parametrize("choice, answer", [("ok", (200, "OK")), ("cancelled", (202, "CANCELLATION_REQUESTED"))])
def test_a_running_job_stops_when_it_is_cancelled(
    fal: Simulator, queue_client: QueueClient, choice: str, answer: tuple[int, str]
) -> None:
    request_id = queue_client.enqueue(f"[hold][cancel:{choice}]")
    queue_client.wait_for(request_id, "IN_PROGRESS")

    response = queue_client.cancel(request_id)

    assert (response.status_code, response.json()["status"]) == answer
    assert queue_client.wait_for(request_id, "COMPLETED").cancelled
    assert not fal.finish(request_id)


IGNORED = {
    "completes_anyway": (202, "CANCELLATION_REQUESTED"),
    "already_completed": (400, "ALREADY_COMPLETED"),
    "404": (404, "NOT_FOUND"),
}


@pytest.mark.parametrize("choice", IGNORED)
def test_a_cancellation_can_be_ignored_or_refused(fal: Simulator, queue_client: QueueClient, choice: str) -> None:
    request_id = queue_client.enqueue(f"[hold][cancel:{choice}]")
    queue_client.wait_for(request_id, "IN_PROGRESS")

    response = queue_client.cancel(request_id)

    # This job takes longer than another one would take to react to the cancellation.
    queue_client.run()
    assert (response.status_code, response.json()["status"]) == IGNORED[choice]
    assert fal.finish(request_id)
    assert queue_client.record(request_id).error is None


def test_a_completed_job_cannot_be_cancelled(queue_client: QueueClient) -> None:
    response = queue_client.cancel(queue_client.run().request_id)

    assert (response.status_code, response.json()) == (400, {"status": "ALREADY_COMPLETED"})


POLLS = {
    "404": [(404, "NOT_FOUND")] * 3,
    "500": [(500, None)] * 3,
    "unknown": [(202, "PONDERING")] * 3,
    "back_to_queue": [(202, "IN_PROGRESS"), (202, "IN_QUEUE"), (202, "IN_PROGRESS")],
}


@pytest.mark.parametrize("choice", POLLS)
def test_the_status_url_has_each_of_its_faults(queue_client: QueueClient, choice: str) -> None:
    request_id = queue_client.enqueue(f"[hold][poll:{choice}]")
    queue_client.wait_for(request_id, "IN_PROGRESS")

    responses = [queue_client.status(request_id) for _ in range(3)]

    assert [(response.status_code, response.json().get("status")) for response in responses] == POLLS[choice]


RESULTS = {"404": [404, 404], "410": [410, 410], "504": [504, 200], "completed_with_error": [500, 500]}


@pytest.mark.parametrize("choice", RESULTS)
def test_the_result_url_has_each_of_its_faults(queue_client: QueueClient, choice: str) -> None:
    request = queue_client.run(f"[result:{choice}]", webhook="http://127.0.0.1:9/")

    responses = [queue_client.result(request.request_id) for _ in range(2)]

    status = queue_client.status(request.request_id).json()
    assert [response.status_code for response in responses] == RESULTS[choice]
    assert ("error" in status) == (choice == "completed_with_error")
