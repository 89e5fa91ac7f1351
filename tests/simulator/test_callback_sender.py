"""Callbacks: what they contain, when they arrive, how they are signed, and how often they are retried."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from simulator import Simulator
from simulator.error_types import ERRORS, MODEL_ERRORS
from simulator.retry_policies import RETRY_POLICIES
from simulator.scenario_table import CALLBACKS
from tests.simulator.queue_client import SPEED, CallbackReceiver, QueueClient, ReceivedCallback, get

REFUSED_CONNECTION = "http://127.0.0.1:9/"


def is_signed(fal: Simulator, callback: ReceivedCallback) -> bool:
    """Verify a callback as fal documents it, without code of the simulator."""
    names = ("Request-Id", "User-Id", "Timestamp", "Signature")
    request_id, user_id, timestamp, signature = (callback.headers[f"X-Fal-Webhook-{name}"] for name in names)
    message = f"{request_id}\n{user_id}\n{timestamp}\n{hashlib.sha256(callback.body).hexdigest()}".encode()
    for jwk in get(fal.environment()["FAL_JWKS_URL"]).json()["keys"]:
        key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "="))
        try:
            key.verify(bytes.fromhex(signature), message)
        except InvalidSignature:
            continue
        return True
    return False


def run_with_callback(client: QueueClient, receiver: CallbackReceiver, scenarios: str = "", *, count: int = 1) -> str:
    """Submit a job, wait until its callback was sent `count` times, and return the request id."""
    request_id = client.enqueue(scenarios, webhook=receiver.url)
    assert client.fal.wait_until(lambda: len(client.fal.log.callbacks(request_id)) >= count)
    return request_id


def test_a_callback_is_signed_and_contains_the_result(
    fal: Simulator, queue_client: QueueClient, receiver: CallbackReceiver
) -> None:
    request_id = run_with_callback(queue_client, receiver)

    (callback,) = receiver.callbacks
    assert callback.path == "/hooks/fal?token=abc"
    assert is_signed(fal, callback)
    assert callback.headers["X-Fal-Webhook-User-Id"] == fal.environment()["FAL_USER_ID"]
    assert (callback.json["request_id"], callback.json["status"]) == (request_id, "OK")
    assert callback.json["payload"] == queue_client.result(request_id).json()
    assert queue_client.record(request_id).callback == "acknowledged"


def test_callback_result_and_status_report_each_error_type(
    fal: Simulator, queue_client: QueueClient, receiver: CallbackReceiver
) -> None:
    request_ids = {name: queue_client.enqueue(f"[fail:{name}]", webhook=receiver.url) for name in ERRORS}
    assert fal.wait_until(lambda: len(fal.log.callbacks()) == len(ERRORS))
    bodies = {callback.json["request_id"]: callback.json for callback in receiver.callbacks}

    for error_type, request_id in request_ids.items():
        body, result = bodies[request_id], queue_client.result(request_id)
        status = ERRORS[error_type].status
        assert (body["status"], body["error"]) == ("ERROR", f"Invalid status code: {status}")
        # Errors of the model are lists of details, those of the request a text.
        assert isinstance(body["payload"]["detail"], list) == (error_type in MODEL_ERRORS)
        assert (result.status_code, result.json()) == (status, body["payload"])
        assert result.headers["X-Fal-Error-Type"] == error_type
        assert queue_client.status(request_id).json()["error_type"] == error_type


def test_a_lost_callback_is_never_sent(queue_client: QueueClient, receiver: CallbackReceiver) -> None:
    queue_client.run("[callback:lost]", webhook=receiver.url)
    later = run_with_callback(queue_client, receiver)

    assert [callback.json["request_id"] for callback in receiver.callbacks] == [later]


def test_a_late_callback_is_sent_after_a_minute(queue_client: QueueClient, receiver: CallbackReceiver) -> None:
    request_id = run_with_callback(queue_client, receiver, "[callback:late]")

    (callback,) = queue_client.fal.log.callbacks()
    completed_at = queue_client.record(request_id).completed_at
    assert completed_at is not None
    assert callback.at - completed_at >= 60 / SPEED


@pytest.mark.parametrize("choice", ["double", "again_late"])
def test_a_callback_is_sent_twice(queue_client: QueueClient, receiver: CallbackReceiver, choice: str) -> None:
    run_with_callback(queue_client, receiver, f"[callback:{choice}]", count=2)

    assert receiver.callbacks[0].body == receiver.callbacks[1].body


def test_an_early_callback_is_sent_before_the_response_to_the_submission(
    queue_client: QueueClient, receiver: CallbackReceiver
) -> None:
    response = queue_client.submit("[callback:early]", webhook=receiver.url)

    (callback,) = receiver.callbacks
    assert callback.json["request_id"] == response.json()["request_id"]


SIGNATURE_FAULTS = {
    "forged": lambda fal, callback: not is_signed(fal, callback),
    "wrong_account": lambda fal, callback: (
        is_signed(fal, callback) and callback.headers["X-Fal-Webhook-User-Id"] != fal.environment()["FAL_USER_ID"]
    ),
    "mismatch": lambda fal, callback: (
        is_signed(fal, callback) and callback.headers["X-Fal-Webhook-Request-Id"] != callback.json["request_id"]
    ),
    "stale": lambda fal, callback: (
        is_signed(fal, callback) and int(callback.headers["X-Fal-Webhook-Timestamp"]) < time.time() - 300
    ),
}
BODY_FAULTS = {
    "garbage": lambda fal, callback: is_signed(fal, callback) and b"OK, payload: [" in callback.body,
    "null_payload": lambda fal, callback: (
        callback.json["status"] == "OK" and callback.json["payload"] is None and bool(callback.json["payload_error"])
    ),
    "error_null_payload": lambda fal, callback: callback.json["status"] == "ERROR" and callback.json["payload"] is None,
}
FAULTS = SIGNATURE_FAULTS | BODY_FAULTS


@pytest.mark.parametrize("choice", FAULTS)
def test_a_faulty_callback_has_only_one_fault(
    fal: Simulator, queue_client: QueueClient, receiver: CallbackReceiver, choice: str
) -> None:
    run_with_callback(queue_client, receiver, f"[callback:{choice}]")

    assert FAULTS[choice](fal, receiver.callbacks[0])


def test_a_contradictory_callback_follows_the_correct_one(
    queue_client: QueueClient, receiver: CallbackReceiver
) -> None:
    run_with_callback(queue_client, receiver, "[callback:contradictory]", count=2)

    assert [callback.json["status"] for callback in receiver.callbacks] == ["OK", "ERROR"]


@pytest.mark.slow
def test_a_reordered_callback_follows_that_of_the_next_request(receiver: CallbackReceiver) -> None:
    # At fal's own speed, the first callback waits for the second for 30 s.
    with Simulator(speed=1) as fal, (client := QueueClient(fal)).http:
        first, second = (
            client.enqueue(f"[hold]{scenario}", webhook=receiver.url) for scenario in ("[callback:reordered]", "")
        )
        for request_id in (first, second):
            fal.finish(request_id)

        assert fal.wait_until(lambda: len(fal.log.callbacks()) == 2)

    assert [callback.json["request_id"] for callback in receiver.callbacks] == [second, first]


def test_every_callback_scenario_has_a_test() -> None:
    others = {"lost", "late", "double", "again_late", "early", "contradictory", "reordered"}

    assert set(CALLBACKS) == others | set(FAULTS)


def test_a_refused_callback_is_retried_until_it_is_acknowledged(
    queue_client: QueueClient, receiver: CallbackReceiver
) -> None:
    receiver.statuses[:] = [500, 404, 204]

    request_id = run_with_callback(queue_client, receiver, count=3)

    attempts = queue_client.fal.log.callbacks(request_id)
    assert [(callback.attempt, callback.status) for callback in attempts] == [(1, 500), (2, 404), (3, 204)]
    assert queue_client.record(request_id).callback == "acknowledged"


def test_a_redirected_callback_is_not_retried(
    fal: Simulator, queue_client: QueueClient, receiver: CallbackReceiver
) -> None:
    receiver.statuses[:] = [301]

    request_id = run_with_callback(queue_client, receiver)

    assert fal.wait_until(lambda: queue_client.record(request_id).callback == "given up")
    assert len(receiver.callbacks) == 1


@pytest.mark.slow
def test_the_classic_policy_gives_up_after_ten_retries() -> None:
    with Simulator(speed=100_000, callback_policy="classic") as fal, (client := QueueClient(fal)).http:
        request_id = client.enqueue(webhook=REFUSED_CONNECTION)

        assert fal.wait_until(lambda: client.record(request_id).callback == "given up")
        assert len(fal.log.callbacks()) == 11
        assert {callback.status for callback in fal.log.callbacks()} == {None}


@pytest.mark.slow
def test_the_current_policy_gives_up_when_the_result_expires() -> None:
    with Simulator(speed=20_000) as fal, (client := QueueClient(fal)).http:
        request_id = client.enqueue(webhook=REFUSED_CONNECTION)

        assert fal.wait_until(lambda: client.record(request_id).callback == "given up")
        assert len(fal.log.callbacks()) < 1 + RETRY_POLICIES["2026"].retries


def test_the_policies_have_the_figures_that_fal_publishes() -> None:
    classic, current = RETRY_POLICIES["classic"], RETRY_POLICIES["2026"]

    assert sum(classic.pause_seconds(attempt) for attempt in range(1, 11)) == pytest.approx(7200, rel=0.02)
    assert (current.retries, current.timeout_seconds(1), current.timeout_seconds(2)) == (31, 15, 120)


def test_a_rotated_key_is_published_only_if_it_is_kept(fal: Simulator) -> None:
    for keep in (True, False):
        fal.rotate_keys(keep_previous=keep)

        with_previous = ReceivedCallback("/", fal.sign(b"{}", request_id="r", key="previous"), b"{}")
        with_current = ReceivedCallback("/", fal.sign(b"{}", request_id="r"), b"{}")
        assert (is_signed(fal, with_previous), is_signed(fal, with_current)) == (keep, True)


def test_the_callback_body_is_known_before_the_job_completes(fal: Simulator, queue_client: QueueClient) -> None:
    request_id = queue_client.enqueue("[hold]")
    before = fal.callback_body(request_id)

    assert fal.finish(request_id)

    assert fal.callback_body(request_id) == before
    assert not fal.finish(request_id)
