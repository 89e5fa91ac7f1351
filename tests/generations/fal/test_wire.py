"""fal's words, one by one, and what each becomes in ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.fal import wire
from generations.fal.errors import AnswerLost, Forbidden, Gone, Rejected, Unavailable, reason_from
from generations.fal.wire import Completed, Failed, Finished, InvalidMessage, NoVerdict, Queued, Running
from simulator.error_types import ERRORS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def packed(message: Any) -> bytes:
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    "message, meaning",
    [
        ({"status": "IN_QUEUE", "queue_position": 3}, Queued(position=3)),
        ({"status": "IN_QUEUE"}, Queued(position=None)),
        ({"status": "IN_QUEUE", "queue_position": "many"}, Queued(position=None)),
        ({"status": "IN_PROGRESS", "logs": None}, Running(log="")),
        ({"status": "IN_PROGRESS"}, Running(log="")),
        ({"status": "IN_PROGRESS", "logs": [{"message": "a"}, {"message": "b"}, {"message": " "}]}, Running(log="b")),
        ({"status": "COMPLETED", "logs": None, "metrics": {}}, Finished(reason=None)),
    ],
)
def test_what_a_status_means(message: dict[str, Any], meaning: object) -> None:
    assert wire.read_status(packed(message)) == meaning


def test_completed_with_an_error_is_a_failure() -> None:
    said = {"status": "COMPLETED", "error": "Invalid status code: 499", "error_type": "client_cancelled"}

    settled = wire.read_status(packed(said))

    assert isinstance(settled, Finished)
    assert settled.reason is not None
    assert settled.reason.code == "cancelled"


@pytest.mark.parametrize("message", [{"status": "DONE"}, {}, {"status": None}, [], "x", None])
def test_an_unknown_status_is_no_guess(message: object) -> None:
    with pytest.raises(Unavailable):
        wire.read_status(packed(message))


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_type_of_fal_has_a_code_and_says_whether_to_retry(name: str) -> None:
    kind = ERRORS[name]
    reason = reason_from({"detail": [{"loc": ["body"], "msg": "m", "type": name}]}, status=kind.status)

    assert reason.code in ("invalid_input", "content_policy", "provider_error", "provider_timeout", "cancelled")
    assert reason.retryable == (kind.status >= 499 or name.startswith("downstream"))


def test_a_422_of_an_unknown_type_is_the_customers_input() -> None:
    reason = reason_from({"detail": [{"loc": ["body", "seed"], "msg": "too big", "type": "less_than"}]}, status=422)

    assert reason.code == "invalid_input"
    assert reason.errors == [{"loc": ["body", "seed"], "msg": "A number is too large.", "type": "less_than"}]
    assert "too big" in reason.detail


def test_what_the_customer_sent_is_not_repeated_in_the_error() -> None:
    detail = [{"loc": ["body", "prompt"], "msg": "m", "type": "value_error", "input": "a private prompt"}]

    assert "private" not in str(reason_from({"detail": detail}, status=422))


@pytest.mark.parametrize(
    "status, headers, body, error",
    [
        (404, {}, {}, Gone),
        (410, {}, {}, Gone),
        (401, {}, {}, Forbidden),
        (403, {}, {}, Forbidden),
        (429, {}, {}, Unavailable),
        (504, {}, {}, Unavailable),
        (502, {}, "html", Unavailable),
        (302, {}, {}, Unavailable),
    ],
)
def test_a_result_that_is_not_the_models(
    status: int, headers: dict[str, str], body: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        wire.read_result(status, headers, packed(body))


@pytest.mark.parametrize(
    "status, headers, body, code",
    [
        (422, {}, {"detail": [{"loc": [], "msg": "", "type": "content_policy_violation"}]}, "content_policy"),
        (400, {}, {"detail": "bad", "error_type": "bad_request"}, "invalid_input"),
        (504, {"x-fal-error-type": "generation_timeout"}, {}, "provider_timeout"),
        (500, {}, {"detail": "x", "error_type": "runner_server_error"}, "provider_error"),
    ],
)
def test_a_result_that_is_the_models_failure(status: int, headers: dict[str, str], body: Any, code: str) -> None:
    verdict = wire.read_result(status, headers, packed(body))

    assert isinstance(verdict, Failed)
    assert verdict.reason.code == code


@pytest.mark.parametrize(
    "status, body, meaning",
    [
        (200, {"status": "OK"}, "removed"),
        (202, {"status": "CANCELLATION_REQUESTED"}, "requested"),
        (400, {"status": "ALREADY_COMPLETED"}, "finished"),
        (404, {"status": "NOT_FOUND"}, "unknown"),
    ],
)
def test_what_fal_says_to_a_cancellation(status: int, body: Any, meaning: str) -> None:
    assert wire.read_cancel(status, packed(body)) == meaning


def test_a_strange_answer_to_a_cancellation_is_asked_again() -> None:
    with pytest.raises(Unavailable):
        wire.read_cancel(500, b"")


@pytest.mark.parametrize(
    "message, meaning",
    [
        ({"status": "OK", "payload": {"a": 1}}, Completed(answer={"a": 1})),
        ({"status": "OK", "payload": None, "payload_error": "too big"}, NoVerdict(why="too big")),
        ({"status": "OK"}, NoVerdict(why="OK without a payload")),
        ({"status": "DONE"}, NoVerdict(why="unknown status DONE")),
    ],
)
def test_what_a_callback_means(message: dict[str, Any], meaning: object) -> None:
    assert wire.read_callback(packed({"request_id": "r", **message})).verdict == meaning


def test_an_error_without_any_payload_is_read_from_its_words() -> None:
    message = {
        "request_id": "r",
        "status": "ERROR",
        "error": "Invalid status code: 404",
        "payload": None,
        "payload_error": "x",
    }

    verdict = wire.read_callback(packed(message)).verdict

    assert isinstance(verdict, Failed)
    assert verdict.reason.code == "provider_error"


@given(JSON)
def test_no_json_whatever_crashes_the_readers(message: Any) -> None:
    body = packed(message)
    outcomes: list[object] = []
    for read in (
        wire.read_callback,
        wire.read_status,
        lambda b: wire.read_result(200, {}, b),
        lambda b: wire.read_cancel(200, b),
    ):
        try:
            outcomes.append(read(body))
        except (InvalidMessage, Unavailable) as error:
            outcomes.append(error)
    assert len(outcomes) == 4


@given(JSON, st.sampled_from([400, 404, 422, 499, 500, 503]))
def test_every_reason_can_be_stored(payload: Any, status: int) -> None:
    reason = reason_from(payload, status=status)

    assert "\0" not in json.dumps(reason.errors) + reason.detail
    (json.dumps(reason.errors, ensure_ascii=False) + reason.detail).encode()


@pytest.mark.parametrize(
    "status, headers, meaning",
    [
        (401, {}, Forbidden),
        (402, {}, Forbidden),
        (403, {}, Forbidden),
        (404, {}, Rejected),
        (422, {}, Rejected),
        (307, {}, Unavailable),
        (408, {}, Unavailable),
        (429, {"retry-after": "7"}, Unavailable),
        (500, {}, Unavailable),
        (503, {}, Unavailable),
        (500, {"x-fal-request-id": "r"}, type(None)),
        (502, {}, type(None)),
        (504, {}, type(None)),
    ],
)
def test_what_a_refused_submission_means(status: int, headers: dict[str, str], meaning: type) -> None:
    assert isinstance(wire.submission_error(status, headers, b"{}"), meaning)


def test_the_errors_form_one_family() -> None:
    assert all(issubclass(error, Exception) for error in (AnswerLost, Forbidden, Gone, Rejected, Unavailable))


def test_fal_can_ask_for_a_wait_of_at_most_a_minute() -> None:
    waits = {value: wire.retry_after_seconds({"retry-after": value}) for value in ("7", "99999", "soon")}

    assert waits == {"7": 7, "99999": 60, "soon": None}
    assert wire.retry_after_seconds({}) is None
