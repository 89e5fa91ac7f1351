"""Callbacks: what comes, when, how signed, and how often."""

from __future__ import annotations

import base64
import hashlib
import time

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from simulator import Simulator
from simulator.error_types import ERRORS, MODEL_ERRORS
from simulator.retry_policies import RETRY_POLICIES
from simulator.scenario_table import CALLBACKS
from tests.simulator.customer import Customer, Letter, Receiver, get


def is_signed(fal: Simulator, letter: Letter) -> bool:
    """fal's documented check, done with nothing of the simulator's."""
    names = ("Request-Id", "User-Id", "Timestamp", "Signature")
    request_id, user_id, timestamp, signature = (letter.headers[f"X-Fal-Webhook-{name}"] for name in names)
    message = f"{request_id}\n{user_id}\n{timestamp}\n{hashlib.sha256(letter.body).hexdigest()}".encode()
    return any(verifies(key["x"], bytes.fromhex(signature), message) for key in published(fal))


def published(fal: Simulator) -> list[dict[str, str]]:
    keys: list[dict[str, str]] = get(fal.environment()["FAL_JWKS_URL"]).json()["keys"]
    return keys


def verifies(x: str, signature: bytes, message: bytes) -> bool:
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)))
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def called_back(customer: Customer, inbox: Receiver, words: str, *, count: int = 1) -> str:
    request_id = customer.order(words, webhook=inbox.url)
    assert customer.fal.wait_until(lambda: len(customer.fal.log.callbacks(request_id)) >= count, 10)
    return request_id


def test_a_callback_is_signed_and_brings_the_result(fal: Simulator, customer: Customer, inbox: Receiver) -> None:
    request_id = called_back(customer, inbox, "")

    (letter,) = inbox.letters
    assert letter.path == "/hooks/fal?token=abc"
    assert is_signed(fal, letter)
    assert letter.headers["X-Fal-Webhook-User-Id"] == fal.environment()["FAL_USER_ID"]
    assert (letter.json["request_id"], letter.json["status"]) == (request_id, "OK")
    assert letter.json["payload"] == customer.result(request_id).json()
    assert customer.known(request_id).callback == "acknowledged"


@pytest.mark.parametrize("error_type", ERRORS)
def test_each_error_type_comes_in_its_own_format(customer: Customer, inbox: Receiver, error_type: str) -> None:
    request_id = called_back(customer, inbox, f"[fail:{error_type}]")

    (letter,) = inbox.letters
    detail = letter.json["payload"]["detail"]
    result = customer.result(request_id)
    assert letter.json["status"] == "ERROR"
    assert letter.json["error"] == f"Invalid status code: {ERRORS[error_type].status}"
    assert isinstance(detail, list) == (error_type in MODEL_ERRORS)
    assert (result.status_code, result.json()) == (ERRORS[error_type].status, letter.json["payload"])
    assert result.headers["X-Fal-Error-Type"] == customer.status(request_id).json()["error_type"] == error_type


def test_a_lost_callback_never_comes(fal: Simulator, customer: Customer, inbox: Receiver) -> None:
    lost = customer.completed("[callback:lost]", webhook=inbox.url)
    called_back(customer, inbox, "")

    assert [letter.json["request_id"] == lost.request_id for letter in inbox.letters] == [False]


def test_a_late_callback_comes_after_a_minute(customer: Customer, inbox: Receiver) -> None:
    request_id = called_back(customer, inbox, "[callback:late]")

    (callback,) = customer.fal.log.callbacks()
    done = customer.known(request_id).completed_at
    assert done is not None
    assert callback.at - done >= 60 / 200


@pytest.mark.parametrize("choice", ["double", "again_late"])
def test_a_callback_can_come_twice(customer: Customer, inbox: Receiver, choice: str) -> None:
    called_back(customer, inbox, f"[callback:{choice}]", count=2)

    assert inbox.letters[0].body == inbox.letters[1].body


def test_an_early_callback_comes_before_the_answer_to_the_submit(
    fal: Simulator, customer: Customer, inbox: Receiver
) -> None:
    reply = customer.submit("[callback:early]", webhook=inbox.url)

    (letter,) = inbox.letters
    assert letter.json["request_id"] == reply.json()["request_id"]


WRONG = {
    "forged": lambda fal, letter: not is_signed(fal, letter),
    "wrong_account": lambda fal, letter: (
        is_signed(fal, letter) and letter.headers["X-Fal-Webhook-User-Id"] != fal.environment()["FAL_USER_ID"]
    ),
    "mismatch": lambda fal, letter: (
        is_signed(fal, letter) and letter.headers["X-Fal-Webhook-Request-Id"] != letter.json["request_id"]
    ),
    "stale": lambda fal, letter: (
        is_signed(fal, letter) and int(letter.headers["X-Fal-Webhook-Timestamp"]) < time.time() - 300
    ),
    "garbage": lambda fal, letter: is_signed(fal, letter) and b"OK, payload: [" in letter.body,
    "null_payload": lambda fal, letter: (
        letter.json["status"] == "OK" and letter.json["payload"] is None and bool(letter.json["payload_error"])
    ),
    "error_null_payload": lambda fal, letter: letter.json["status"] == "ERROR" and letter.json["payload"] is None,
}


@pytest.mark.parametrize("choice", WRONG)
def test_a_callback_can_be_wrong_in_one_way_only(
    fal: Simulator, customer: Customer, inbox: Receiver, choice: str
) -> None:
    called_back(customer, inbox, f"[callback:{choice}]")

    assert WRONG[choice](fal, inbox.letters[0])


def test_a_contradiction_follows_the_truth(customer: Customer, inbox: Receiver) -> None:
    called_back(customer, inbox, "[callback:contradictory]", count=2)

    assert [letter.json["status"] for letter in inbox.letters] == ["OK", "ERROR"]


def test_callbacks_can_overtake_each_other(fal: Simulator, customer: Customer, inbox: Receiver) -> None:
    first = customer.completed("[callback:reordered]", webhook=inbox.url).request_id
    second = called_back(customer, inbox, "")

    assert fal.wait_until(lambda: len(fal.log.callbacks()) == 2)
    assert [letter.json["request_id"] for letter in inbox.letters] == [second, first]


def test_every_callback_scenario_is_tested_here() -> None:
    others = {"lost", "late", "double", "again_late", "early", "contradictory", "reordered"}

    assert set(CALLBACKS) == others | set(WRONG)


def test_a_refused_callback_is_tried_again_until_it_is_taken(customer: Customer, inbox: Receiver) -> None:
    inbox.answers[:] = [500, 404, 204]

    request_id = called_back(customer, inbox, "", count=3)

    attempts = customer.fal.log.callbacks(request_id)
    assert [(callback.attempt, callback.status) for callback in attempts] == [(1, 500), (2, 404), (3, 204)]
    assert customer.known(request_id).callback == "acknowledged"


def test_a_redirected_callback_is_lost_for_good(fal: Simulator, customer: Customer, inbox: Receiver) -> None:
    inbox.answers[:] = [301]

    request_id = called_back(customer, inbox, "")

    assert fal.wait_until(lambda: customer.known(request_id).callback == "given up")
    assert len(inbox.letters) == 1


def test_nobody_listens_and_fal_gives_up() -> None:
    with Simulator(speed=100_000, callback_policy="classic") as fal:
        customer = Customer(fal)
        with customer.http:
            request_id = customer.order(webhook="http://127.0.0.1:9/")

            assert fal.wait_until(lambda: customer.known(request_id).callback == "given up", 10)
            assert len(fal.log.callbacks()) == 11
            assert {callback.status for callback in fal.log.callbacks()} == {None}


def test_the_policies_are_those_that_fal_has_published() -> None:
    classic, current = RETRY_POLICIES["classic"], RETRY_POLICIES["2026"]

    assert sum(classic.pause_seconds(attempt) for attempt in range(1, 11)) == pytest.approx(7200, rel=0.02)
    assert (current.retries, current.timeout_seconds(1), current.timeout_seconds(2)) == (31, 15, 120)


def test_the_current_policy_ends_with_the_result() -> None:
    with Simulator(speed=20_000) as fal:
        customer = Customer(fal)
        with customer.http:
            request_id = customer.order(webhook="http://127.0.0.1:9/")

            assert fal.wait_until(lambda: customer.known(request_id).callback == "given up", 10)
            assert len(fal.log.callbacks()) < 32


@pytest.mark.parametrize("keep, valid", [(True, True), (False, False)])
def test_the_old_key_is_published_as_long_as_it_is_kept(fal: Simulator, keep: bool, valid: bool) -> None:
    fal.rotate_keys(keep_previous=keep)

    headers = fal.sign(b"{}", request_id="r", key="previous")

    assert is_signed(fal, Letter("/", headers, b"{}")) is valid
    assert is_signed(fal, Letter("/", fal.sign(b"{}", request_id="r"), b"{}"))


def test_what_fal_would_say_can_be_asked_for_before_it_does(fal: Simulator, customer: Customer) -> None:
    request_id = customer.order("[hold]")
    before = fal.callback_body(request_id)

    assert fal.finish(request_id)

    assert fal.callback_body(request_id) == before
    assert not fal.finish(request_id)


MODES = {
    "down": lambda reply: reply.status_code == 503,
    "garbage": lambda reply: "<html>" in reply.text,
    "empty": lambda reply: reply.json() == {"keys": []},
    "padded": lambda reply: reply.json()["keys"][0]["x"].endswith("="),
    "huge": lambda reply: len(reply.content) > 10_000_000,
    "ok": lambda reply: len(reply.json()["keys"][0]["x"]) == 43,
}


@pytest.mark.parametrize("mode", MODES)
def test_the_key_page_fails_in_each_of_its_ways(fal: Simulator, mode: str) -> None:
    fal.jwks_mode(mode)

    reply = get(fal.environment()["FAL_JWKS_URL"])

    assert MODES[mode](reply)
    assert fal.jwks_fetches == 1


def test_a_slow_key_page_outlasts_its_readers(fal: Simulator) -> None:
    fal.jwks_mode("slow")

    with pytest.raises(httpx.ReadTimeout):
        get(fal.environment()["FAL_JWKS_URL"], timeout=0.2)
