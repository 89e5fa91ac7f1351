"""Interprets fal's messages. fal's own words (IN_QUEUE, COMPLETED, payload_error …) appear in this module only.

The client passes it HTTP responses, the callback inbox the bodies of callbacks. Input is untrusted: a message that does
not have the documented form raises an error of this package and nothing else. Words that are not documented are never
guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NoReturn

from generations.fal.errors import Forbidden, Gone, Reason, Rejected, Unavailable, clean, reason_from
from generations.jobs.retry_after import parse_retry_after

# One request a minute is no burden for fal, and an hour without any would be an outage for customers.
RETRY_AFTER_SECONDS_MAX = 60.0
TEXT_CHARACTERS_MAX = 200


@dataclass(frozen=True, kw_only=True)
class Queued:
    """The job waits in fal's queue."""

    position: int | None
    """The number of jobs ahead of it."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """The job is being worked on."""

    log: str
    """The newest line of the model's log, or ""."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The job has ended, well or badly. The result tells which."""

    reason: Reason | None
    """The failure that the status names. The result may name one too, and has more detail."""


@dataclass(frozen=True, kw_only=True)
class Completed:
    """The job succeeded."""

    answer: Mapping[str, Any]
    billable_units: Decimal | None = None
    """The units that fal bills, from a header of the result. Callbacks have no such header."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The job failed."""

    reason: Reason
    billable_units: Decimal | None = None
    """fal may bill failures too."""


@dataclass(frozen=True, kw_only=True)
class NoVerdict:
    """The callback does not hold the verdict. The status and the result have to be asked for."""

    why: str


Verdict = Completed | Failed
CancelVerdict = Literal["removed", "requested", "finished", "unknown"]
"""Of a cancellation: removed from the queue; requested of a running job; the job had finished; fal has no such job."""


@dataclass(frozen=True, kw_only=True)
class Callback:
    """The body of a callback."""

    request_id: str
    verdict: Completed | Failed | NoVerdict


class InvalidMessage(ValueError):
    """The message does not have the documented form."""


def read_json(body: bytes, *, parse_float: Callable[[str], Any] = float) -> Any:
    """Decode strict JSON in UTF-8: NaN and Infinity are refused.

    Raises:
        InvalidMessage: The body is anything else, however deep it is and however large its numbers are.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(body.decode("utf-8"), parse_float=parse_float, parse_constant=refuse)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise InvalidMessage(str(error)[:TEXT_CHARACTERS_MAX]) from error


def read_callback(body: bytes) -> Callback:
    """Interpret the body of a callback whose signature has been verified. Raises InvalidMessage."""
    message = read_json(body)
    if not isinstance(message, Mapping) or not isinstance(message.get("request_id"), str):
        raise InvalidMessage("The callback is not an object with a request_id.")
    payload = message.get("payload")
    verdict: Completed | Failed | NoVerdict
    match message.get("status"):
        case "OK" if isinstance(payload, Mapping):
            verdict = Completed(answer=payload)
        case "OK":
            # fal could not put the answer into the callback and says so in `payload_error`. The result has it, perhaps
            # for minutes only.
            why = clean(str(message.get("payload_error") or "OK without a payload"))
            verdict = NoVerdict(why=why[:TEXT_CHARACTERS_MAX])
        case "ERROR":
            # The payload is the error body of the model, or null.
            text = clean(str(message.get("error") or ""))
            verdict = Failed(reason=reason_from(payload, status=_status_in(text), error=text))
        case other:
            verdict = NoVerdict(why=f"unknown status {clean(str(other))[:50]}")
    return Callback(request_id=message["request_id"], verdict=verdict)


def _status_in(text: str) -> int | None:
    """Return the HTTP status in a text such as "Invalid status code: 422": nothing else in a callback tells it."""
    found = re.search(r"status code: (\d{3})\b", text)
    return int(found[1]) if found else None


def read_status(body: bytes) -> Queued | Running | Finished:
    """Interpret the body of a status URL. Raises Unavailable for an unknown status: it is asked for again."""
    message = _read_object(body)
    match message.get("status"):
        case "IN_QUEUE":
            position = message.get("queue_position")
            return Queued(position=position if isinstance(position, int) and position >= 0 else None)
        case "IN_PROGRESS":
            logs = message.get("logs")
            entries = [entry for entry in logs if isinstance(entry, Mapping)] if isinstance(logs, list) else []
            texts = [entry.get("message") for entry in entries]
            lines = [text for text in texts if isinstance(text, str) and text.strip()]
            return Running(log=clean(lines[-1]).strip()[:TEXT_CHARACTERS_MAX] if lines else "")
        case "COMPLETED":
            # Failed and cancelled jobs have this status too (docs/fal.md, section 1.3).
            error, error_type = message.get("error"), message.get("error_type")
            if not error and not error_type:
                return Finished(reason=None)
            text, kind = clean(str(error or "")), str(error_type or "")
            return Finished(reason=reason_from({}, status=_status_in(text), error_type=kind, error=text))
        case other:
            raise Unavailable(f"unknown status {clean(str(other))[:50]}")


def read_result(status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Interpret the response of a result URL, which has the status, the headers and the body of the model.

    Raises:
        Gone: fal no longer has the result.
        Forbidden: fal refuses the key.
        Unavailable: The response comes from a gateway and says nothing about the job.
    """
    units = billable_units(headers)
    if status == 200:
        return Completed(answer=_read_object(body), billable_units=units)
    # fal keeps a result for an hour, and larger ones for minutes (docs/fal.md, section 2.1).
    if status in (404, 410):
        raise Gone(f"{status} for the result")
    if status in (401, 403):
        raise Forbidden(f"{status} for the result")
    payload, error_type = _try_json(body), headers.get("x-fal-error-type", "")
    # A gateway's 5xx says nothing about the job. A client that took it for a failure lost 9 of 18 videos
    # (openstory-so/openstory, pull request 1505).
    is_of_model = isinstance(payload, Mapping) and ("error_type" in payload or isinstance(payload.get("detail"), list))
    is_of_gateway = status >= 500 and not error_type and not is_of_model
    if is_of_gateway or status in (202, 408, 409, 425, 429) or status < 400:
        raise Unavailable(f"{status} for the result", retry_after_seconds=retry_after_seconds(headers))
    return Failed(reason=reason_from(payload, status=status, error_type=error_type), billable_units=units)


def billable_units(headers: Mapping[str, str]) -> Decimal | None:
    """Return the units of fal's price list that a result costs, from its header, or None if it names none."""
    value = headers.get("x-fal-billable-units", "")
    return Decimal(value) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value) else None


def read_cancel(status: int, body: bytes) -> CancelVerdict:
    """Interpret the response to a cancellation. Raises Unavailable if it is none of those documented."""
    payload = _try_json(body)
    word = payload.get("status") if isinstance(payload, Mapping) else None
    match status, word:
        case 200, "OK" | "CANCELLED":
            # Only a job that has not started is removed.
            return "removed"
        case ((200 | 202), _):
            return "requested"
        case 400, "ALREADY_COMPLETED":
            return "finished"
        case 404, _:
            return "unknown"
    raise Unavailable(f"{status} for the cancellation")


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """A request in fal's record of requests."""

    request_id: str
    arguments: Any
    texts: frozenset[str]
    """Its members that are text. fal does not document that they include the URL of the webhook."""
    answer: Mapping[str, Any] | None
    """What the job has returned; None while it runs, after a failure, and for old requests."""
    has_ended: bool


@dataclass(frozen=True, kw_only=True)
class RecordPage:
    items: list[RecordedRequest]
    next_cursor: str | None


def read_record(body: bytes) -> RecordPage:
    """Interpret a page of fal's record of requests. Raises Unavailable if it has another form."""
    page = _read_object(body)
    items, cursor = page.get("items"), page.get("next_cursor")
    if not isinstance(items, list):
        raise Unavailable("The record of requests has no items.")
    requests = [
        RecordedRequest(
            request_id=item["request_id"],
            arguments=item.get("json_input"),
            texts=frozenset(member for member in item.values() if isinstance(member, str)),
            answer=_recorded_answer(item),
            has_ended=item.get("ended_at") is not None,
        )
        for item in items
        if isinstance(item, Mapping) and isinstance(item.get("request_id"), str)
    ]
    return RecordPage(items=requests, next_cursor=str(cursor) if page.get("has_more") and cursor else None)


def _recorded_answer(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a job has returned. Of a job that failed, the record may have its error instead."""
    answer = item.get("json_output")
    return answer if isinstance(answer, Mapping) and item.get("status_code") == 200 else None


def submission_error(status: int, headers: Mapping[str, str], body: bytes) -> Exception | None:
    """Return what a response other than 2xx to a submission means.

    Returns:
        Forbidden, Unavailable or Rejected, or None if the response does not tell whether fal accepted the submission.
    """
    reason = reason_from(_try_json(body), status=status, error_type=headers.get("x-fal-error-type", ""))
    # A locked account or an exhausted balance is answered with 403 (docs/fal.md, section 4.4).
    if status in (401, 402, 403):
        return Forbidden(reason.detail)
    if status in (408, 409, 425, 429) or 300 <= status < 400:
        return Unavailable(reason.detail, retry_after_seconds=retry_after_seconds(headers))
    # fal's own 500 and 503 come before a request exists. With a request id the submission had been accepted.
    if status in (500, 503) and "x-fal-request-id" not in headers:
        return Unavailable(reason.detail, retry_after_seconds=retry_after_seconds(headers))
    if 400 <= status < 500:
        return Rejected(reason)
    # 502 and 504 come from a gateway that may have passed the submission on. A request id proves that it did.
    return None


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait that a response asks for in `Retry-After`, 0 to 60 seconds, or None if it asks for none."""
    return parse_retry_after(headers.get("retry-after", ""), seconds_max=RETRY_AFTER_SECONDS_MAX)


def _try_json(body: bytes) -> Any:
    try:
        return read_json(body)
    except InvalidMessage:
        return None


def _read_object(body: bytes) -> Mapping[str, Any]:
    try:
        message = read_json(body)
    except InvalidMessage as error:
        raise Unavailable(f"The response is not JSON: {error}") from error
    if not isinstance(message, Mapping):
        raise Unavailable("The response is not a JSON object.")
    return message
