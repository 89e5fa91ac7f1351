"""How each message of fal is interpreted, and that no message can crash the reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.fal import wire
from generations.fal.errors import AnswerLost, FalError, Forbidden, Gone, Rejected, Unavailable, reason_from
from generations.fal.wire import Completed, Failed, Finished, InvalidMessage, NoVerdict, Queued, Running
from simulator.error_types import ERRORS

pytestmark = pytest.mark.once
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def encoded(message: Any) -> bytes:
    return json.dumps(message).encode()


# --- Status ---


def test_a_status_is_queued_running_or_finished() -> None:
    expected: list[tuple[dict[str, Any], object]] = [
        ({"status": "IN_QUEUE", "queue_position": 3}, Queued(position=3)),
        ({"status": "IN_QUEUE"}, Queued(position=None)),
        ({"status": "IN_QUEUE", "queue_position": "many"}, Queued(position=None)),
        ({"status": "IN_PROGRESS", "logs": None}, Running(log="")),
        ({"status": "IN_PROGRESS"}, Running(log="")),
        ({"status": "IN_PROGRESS", "logs": [{"message": "a"}, {"message": "b"}, {"message": " "}]}, Running(log="b")),
        ({"status": "IN_PROGRESS", "logs": "a"}, Running(log="")),
        ({"status": "COMPLETED", "logs": None, "metrics": {}}, Finished(reason=None)),
    ]

    assert [wire.read_status(encoded(message)) for message, _ in expected] == [meaning for _, meaning in expected]


def test_completed_with_an_error_is_a_failure() -> None:
    message = {"status": "COMPLETED", "error": "Invalid status code: 499", "error_type": "client_cancelled"}

    finished = wire.read_status(encoded(message))

    assert isinstance(finished, Finished)
    assert finished.reason is not None
    assert finished.reason.code == "cancelled"


def test_an_unknown_status_is_asked_for_again() -> None:
    messages: list[Any] = [{"status": "DONE"}, {}, {"status": None}, [], "x", None]

    for message in messages:
        with pytest.raises(Unavailable):
            wire.read_status(encoded(message))


# --- Reasons ---


def test_every_error_type_has_a_code_and_says_whether_to_retry() -> None:
    for kind, error in ERRORS.items():
        reason = reason_from({"detail": [{"loc": ["body"], "msg": "m", "type": kind}]}, status=error.status)

        assert reason.code in ("invalid_input", "content_policy", "provider_error", "provider_timeout", "cancelled")
        assert reason.retryable == (error.status >= 499 or kind.startswith("downstream")), kind


def test_an_unknown_error_type_with_status_422_is_about_the_input() -> None:
    reason = reason_from({"detail": [{"loc": ["body", "seed"], "msg": "too big", "type": "less_than"}]}, status=422)

    assert reason.code == "invalid_input"
    assert reason.errors == [{"loc": ["body", "seed"], "msg": "A number is too large.", "type": "less_than"}]
    assert "too big" in reason.detail


def test_a_reason_does_not_repeat_the_input() -> None:
    detail = [{"loc": ["body", "prompt"], "msg": "m", "type": "value_error", "input": "a private prompt"}]

    assert "private" not in str(reason_from({"detail": detail}, status=422))


@given(JSON, st.sampled_from([400, 404, 422, 499, 500, 503]))
def test_every_reason_can_be_stored(payload: Any, status: int) -> None:
    reason = reason_from(payload, status=status)

    assert "\0" not in json.dumps(reason.errors) + reason.detail
    (json.dumps(reason.errors, ensure_ascii=False) + reason.detail).encode()


# --- Results ---


def test_a_result_of_a_gateway_says_nothing_about_the_job() -> None:
    expected: list[tuple[int, Any, type[FalError]]] = [
        *((status, {}, Gone) for status in (404, 410)),
        *((status, {}, Forbidden) for status in (401, 403)),
        *((status, {}, Unavailable) for status in (429, 504, 302)),
        (502, "html", Unavailable),
    ]

    for status, body, error in expected:
        with pytest.raises(error):
            wire.read_result(status, {}, encoded(body))


def test_a_result_with_an_error_of_the_model_is_a_failure() -> None:
    expected: list[tuple[int, dict[str, str], Any, str]] = [
        (422, {}, {"detail": [{"loc": [], "msg": "", "type": "content_policy_violation"}]}, "content_policy"),
        (400, {}, {"detail": "bad", "error_type": "bad_request"}, "invalid_input"),
        (504, {"x-fal-error-type": "generation_timeout"}, {}, "provider_timeout"),
        (500, {}, {"detail": "x", "error_type": "runner_server_error"}, "provider_error"),
    ]

    for status, headers, body, code in expected:
        verdict = wire.read_result(status, headers, encoded(body))
        assert isinstance(verdict, Failed)
        assert verdict.reason.code == code


# --- Cancellations ---


def test_the_response_to_a_cancellation_says_what_became_of_the_job() -> None:
    expected = [
        (200, "OK", "removed"),
        (202, "CANCELLATION_REQUESTED", "requested"),
        (400, "ALREADY_COMPLETED", "finished"),
        (404, "NOT_FOUND", "unknown"),
    ]

    for status, word, meaning in expected:
        assert wire.read_cancel(status, encoded({"status": word})) == meaning
    with pytest.raises(Unavailable):
        wire.read_cancel(500, b"")


# --- Callbacks ---


def test_a_callback_holds_an_answer_or_says_that_it_does_not() -> None:
    expected: list[tuple[dict[str, Any], object]] = [
        ({"status": "OK", "payload": {"a": 1}}, Completed(answer={"a": 1})),
        ({"status": "OK", "payload": None, "payload_error": "too big"}, NoVerdict(why="too big")),
        ({"status": "OK"}, NoVerdict(why="OK without a payload")),
        ({"status": "DONE"}, NoVerdict(why="unknown status DONE")),
    ]

    for message, verdict in expected:
        assert wire.read_callback(encoded({"request_id": "r", **message})).verdict == verdict


def test_the_status_of_a_failure_without_a_payload_is_read_from_its_text() -> None:
    message = {
        "request_id": "r",
        "status": "ERROR",
        "error": "Invalid status code: 404",
        "payload": None,
        "payload_error": "x",
    }

    verdict = wire.read_callback(encoded(message)).verdict

    assert isinstance(verdict, Failed)
    assert verdict.reason.code == "provider_error"


@given(JSON)
def test_no_json_crashes_the_readers(message: Any) -> None:
    body = encoded(message)
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


# --- Submissions ---


def test_the_response_to_a_submission_says_whether_fal_accepted_it() -> None:
    expected: list[tuple[int, dict[str, str], type]] = [
        *((status, {}, Forbidden) for status in (401, 402, 403)),
        *((status, {}, Rejected) for status in (404, 422)),
        *((status, {}, Unavailable) for status in (307, 408, 500, 503)),
        (429, {"retry-after": "7"}, Unavailable),
        # fal may have accepted it.
        (500, {"x-fal-request-id": "r"}, type(None)),
        *((status, {}, type(None)) for status in (502, 504)),
    ]

    for status, headers, meaning in expected:
        assert isinstance(wire.submission_error(status, headers, b"{}"), meaning), status


def test_all_errors_are_fal_errors() -> None:
    assert all(issubclass(error, FalError) for error in (AnswerLost, Forbidden, Gone, Rejected, Unavailable))


def test_fal_can_ask_for_a_wait_of_at_most_a_minute() -> None:
    waits = {value: wire.retry_after_seconds({"retry-after": value}) for value in ("7", "99999", "soon")}

    assert waits == {"7": 7, "99999": 60, "soon": None}
    assert wire.retry_after_seconds({}) is None
