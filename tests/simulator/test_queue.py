"""The life of a request, as its customer sees it."""

from __future__ import annotations

import httpx
import pytest

from generations.catalogue import MODELS
from simulator import Simulator
from tests.simulator.customer import FLUX, TRIPO, Customer


def test_a_submit_is_answered_with_addresses_without_the_sub_path(fal: Simulator, customer: Customer) -> None:
    reply = customer.submit()

    body = reply.json()
    address = f"{fal.url}/fal-ai/flux/requests/{body['request_id']}"
    assert (reply.status_code, body["status"], body["queue_position"]) == (200, "IN_QUEUE", 1)
    assert [body[name] for name in ("response_url", "status_url", "cancel_url")] == [
        address,
        f"{address}/status",
        f"{address}/cancel",
    ]
    assert reply.headers["x-fal-request-id"] == body["request_id"]


@pytest.mark.parametrize("endpoint", [model.endpoint for model in MODELS.values()])
def test_every_model_of_the_catalogue_is_answered_with_its_files(customer: Customer, endpoint: str) -> None:
    request = customer.completed(endpoint=endpoint)

    files = customer.fal.log.files(request.request_id)
    model = next(model for model in MODELS.values() if model.endpoint == endpoint)
    expected = model.expected_files(model.read(request.inputs))
    assert [file.role for file in files] == [file.role for file in expected]
    assert request.error is None


def test_status_is_202_until_the_job_is_done(fal: Simulator, customer: Customer) -> None:
    request_id = customer.order("[hold]")
    assert fal.wait_until(lambda: customer.state(request_id) == "IN_PROGRESS")
    running = customer.status(request_id)

    fal.finish(request_id)

    done = customer.status(request_id)
    assert (running.status_code, running.json()["status"], running.json()["logs"]) == (202, "IN_PROGRESS", None)
    assert (done.status_code, done.json()["status"]) == (200, "COMPLETED")
    assert done.json()["metrics"]["inference_time"] > 0


def test_the_position_counts_down(fal: Simulator, customer: Customer) -> None:
    request_id = customer.order("[queue:8000]")

    first = customer.status(request_id).json()
    fal.wait_until(lambda: False, timeout=0.2)

    second = customer.status(request_id).json()
    assert first["status"] == "IN_QUEUE"
    assert 7_000 < second["queue_position"] < first["queue_position"] <= 8_000


def test_logs_come_only_when_asked_for(customer: Customer) -> None:
    request = customer.completed(endpoint=TRIPO)

    silent, talkative = customer.status(request.request_id), customer.status(request.request_id, logs=1)

    assert silent.json()["logs"] is None
    assert [line["message"] for line in talkative.json()["logs"]][0::5] == ["Initializing model", "Finalizing output"]


def test_the_result_is_the_models_own_answer(customer: Customer) -> None:
    request = customer.completed(inputs={"num_images": 2, "seed": 7})

    reply = customer.result(request.request_id)

    images = reply.json()["images"]
    # Two pictures of one started megapixel each.
    assert reply.headers["X-Fal-Billable-Units"] == "2"
    assert reply.json()["seed"] == 7
    assert [(image["width"], image["height"], image["content_type"]) for image in images] == [
        (256, 256, "image/jpeg")
    ] * 2


def test_wrong_inputs_are_heard_of_only_when_the_job_would_begin(customer: Customer) -> None:
    request = customer.completed(inputs={"num_images": 99})

    reply = customer.result(request.request_id)

    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["body", "num_images"]
    assert customer.status(request.request_id).json()["error_type"] == "less_than_equal"


def test_a_body_without_a_length_is_refused(customer: Customer) -> None:
    assert customer.http.post(f"/{FLUX}", content=iter([b"{}"])).status_code == 411


def test_a_body_that_is_no_json_is_refused_at_once(customer: Customer) -> None:
    assert customer.http.post(f"/{FLUX}", content=b"{").status_code == 422


@pytest.mark.parametrize("path", [f"/{FLUX}", "/fal-ai/flux/requests/x/status", "/fal-ai/flux/requests/x"])
def test_another_key_is_refused(fal: Simulator, path: str) -> None:
    reply = httpx.request(
        "POST" if path == f"/{FLUX}" else "GET", f"{fal.url}{path}", headers={"Authorization": "Key x"}
    )

    assert (reply.status_code, reply.json()) == (401, {"detail": "invalid key credentials"})


def test_an_unknown_model_and_an_unknown_request_are_not_found(customer: Customer) -> None:
    request_id = customer.order()

    assert customer.submit(endpoint="fal-ai/nothing").status_code == 404
    assert customer.http.get("/fal-ai/flux/requests/nothing/status").json() == {"status": "NOT_FOUND"}
    assert customer.http.get(f"/fal-ai/other/requests/{request_id}/status").status_code == 404


def test_the_result_is_not_there_before_the_job_is_done(customer: Customer) -> None:
    assert customer.result(customer.order("[hold]")).status_code == 400


def test_a_long_queue_can_be_declined(customer: Customer) -> None:
    for number in range(3):
        customer.order("[queue:999999]", inputs={"seed": number})

    assert customer.submit(params={"fal_max_queue_length": "2"}).status_code == 429
    assert customer.submit(params={"fal_max_queue_length": "3"}).status_code == 200


@pytest.mark.parametrize("header", ["X-Fal-Request-Timeout", "X-Fal-Request-Start-Timeout"])
def test_a_job_that_does_not_begin_in_time_fails(customer: Customer, header: str) -> None:
    request = customer.completed("[queue:5]", headers={header: "2.0"})

    reply = customer.result(request.request_id)

    assert (reply.status_code, reply.headers["X-Fal-Request-Timeout-Type"]) == (504, "user")


def test_results_are_forgotten_after_an_hour() -> None:
    with Simulator(speed=20_000) as fal:
        customer = Customer(fal)
        with customer.http:
            request = customer.completed()
            # An hour is 0.18 s here, and nothing is logged when it has passed.
            fal.wait_until(lambda: False, timeout=0.2)

            assert customer.result(request.request_id).status_code == 404
            assert customer.status(request.request_id).json() == {"status": "NOT_FOUND"}


def test_a_long_result_is_forgotten_after_six_minutes(customer: Customer) -> None:
    short, long = customer.completed(), customer.completed("[outputs:data_uri]", inputs={"num_images": 4})

    assert (short.result_seconds, long.result_seconds) == (3600, 360)


def test_the_same_order_twice_gives_other_bytes(fal: Simulator, customer: Customer) -> None:
    for _ in range(2):
        customer.completed(inputs={"seed": 5})

    assert len({file.sha256 for file in fal.log.files()}) == 2


def test_a_cancelled_job_in_the_queue_never_runs(customer: Customer) -> None:
    request_id = customer.order("[queue:999999]")

    reply = customer.cancel(request_id)

    status = customer.status(request_id).json()
    assert (reply.status_code, reply.json()) == (200, {"status": "OK"})
    assert (status["status"], status["error_type"]) == ("COMPLETED", "client_cancelled")
    assert customer.result(request_id).status_code == 499


CANCELS = {
    "ok": (200, "OK", True),
    "completes_anyway": (202, "CANCELLATION_REQUESTED", False),
    "cancelled": (202, "CANCELLATION_REQUESTED", True),
    "already_completed": (400, "ALREADY_COMPLETED", False),
    "404": (404, "NOT_FOUND", False),
}


@pytest.mark.parametrize("choice", CANCELS)
def test_a_cancel_is_answered_in_each_of_fals_ways(fal: Simulator, customer: Customer, choice: str) -> None:
    request_id = customer.order(f"[hold][cancel:{choice}]")
    assert fal.wait_until(lambda: customer.state(request_id) == "IN_PROGRESS")

    reply = customer.cancel(request_id)

    stopped = fal.wait_until(lambda: customer.state(request_id) == "COMPLETED", timeout=0.1)
    assert (reply.status_code, reply.json()["status"], stopped) == CANCELS[choice]
    assert fal.finish(request_id) is not stopped


def test_a_completed_job_cannot_be_cancelled(customer: Customer) -> None:
    reply = customer.cancel(customer.completed().request_id)

    assert (reply.status_code, reply.json()) == (400, {"status": "ALREADY_COMPLETED"})
