"""Reads what fal says. Its words (IN_QUEUE, COMPLETED, payload_error …) appear here and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from generations.fal.errors import Forbidden, Gone, Reason, Rejected, Unavailable, clean, reason_from
from generations.jobs.retry_after import parse_retry_after

# One request a minute is no burden for fal, and an hour without any would be an outage for the customers.
RETRY_AFTER_SECONDS_MAX = 60.0


@dataclass(frozen=True, kw_only=True)
class Queued:
    """Waiting its turn."""

    position: int | None
    """How many are ahead."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """Being made."""

    log: str
    """The newest line of the model's log, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """fal is done with it, well or badly. `reason` is what the status says of a failure; the result says more."""

    reason: Reason | None


@dataclass(frozen=True, kw_only=True)
class Completed:
    """The model's answer."""

    answer: Mapping[str, Any]
    billable_units: Decimal | None = None
    """What fal bills for it, where a header said so: a callback has none."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The model, or fal, did not deliver."""

    reason: Reason
    billable_units: Decimal | None = None
    """Failures may be billed, too."""


@dataclass(frozen=True, kw_only=True)
class NoVerdict:
    """The callback does not hold the verdict; fal's own record does."""

    why: str


Verdict = Completed | Failed
CancelVerdict = Literal["removed", "requested", "finished", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Callback:
    """A callback's body."""

    request_id: str
    verdict: Completed | Failed | NoVerdict


class InvalidMessage(ValueError):
    """Not the JSON that fal sends."""


def read_json(body: bytes) -> Any:
    """Strict UTF-8 JSON. Raises InvalidMessage for anything else, however deep or large its numbers."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(str(error)[:200]) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def read_callback(body: bytes) -> Callback:
    """The body of a callback whose signature holds. Raises InvalidMessage."""
    message = read_json(body)
    if not isinstance(message, Mapping) or not isinstance(message.get("request_id"), str):
        raise InvalidMessage("not an object with a request_id")
    return Callback(request_id=message["request_id"], verdict=_callback_verdict(message))


def _callback_verdict(message: Mapping[str, Any]) -> Completed | Failed | NoVerdict:
    payload = message.get("payload")
    match message.get("status"):
        case "OK" if isinstance(payload, Mapping):
            return Completed(answer=payload)
        case "OK":
            # payload_error: the answer could not be put into the callback; it may live for minutes only.
            return NoVerdict(why=clean(str(message.get("payload_error") or "OK without a payload"))[:200])
        case "ERROR":
            said = clean(str(message.get("error") or ""))
            return Failed(reason=reason_from(payload, status=_status_in(said), error=said))
        case other:
            return NoVerdict(why=f"unknown status {clean(str(other))[:50]}")


def _status_in(words: str) -> int | None:
    # "Invalid status code: 422" is the only place where a callback says the HTTP status.
    found = re.search(r"status code: (\d{3})\b", words)
    return int(found[1]) if found else None


def read_status(body: bytes) -> Queued | Running | Finished:
    """The answer of a status URL. Raises Unavailable for words that we do not know: no guess, ask again."""
    message = _object(body)
    match message.get("status"):
        case "IN_QUEUE":
            position = message.get("queue_position")
            return Queued(position=position if isinstance(position, int) and position >= 0 else None)
        case "IN_PROGRESS":
            return Running(log=_last_line(message.get("logs")))
        case "COMPLETED":
            return Finished(reason=_reason_in_status(message))
        case other:
            raise Unavailable(f"fal says the unknown status {clean(str(other))[:50]}")


def _reason_in_status(message: Mapping[str, Any]) -> Reason | None:
    # COMPLETED does not mean success: a failed or cancelled request has this status too.
    error, kind = message.get("error"), message.get("error_type")
    if not error and not kind:
        return None
    said = clean(str(error or ""))
    return reason_from({}, status=_status_in(said), error_type=str(kind or ""), error=said)


def _last_line(logs: Any) -> str:
    lines = [entry.get("message") for entry in logs if isinstance(entry, Mapping)] if isinstance(logs, list) else []
    texts = [line for line in lines if isinstance(line, str) and line.strip()]
    return clean(texts[-1]).strip()[:200] if texts else ""


def read_result(status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """The answer of a result URL: the model's own status and body. Raises Gone, Forbidden, Unavailable."""
    units = billable_units(headers)
    if status == 200:
        return Completed(answer=_object(body), billable_units=units)
    if status in (404, 410):
        raise Gone("fal no longer has the result")
    if status in (401, 403):
        raise Forbidden(f"{status} for the result")
    payload = _payload(body)
    error_type = headers.get("x-fal-error-type", "")
    # A gateway's 5xx is not the model's: 9 of 18 clips were lost by a client that took it for a verdict.
    if status >= 500 and not error_type and not _is_error_of_fal(payload):
        raise Unavailable(f"{status} for the result", retry_after_seconds=retry_after_seconds(headers))
    if status in (202, 408, 409, 425, 429) or status < 400:
        raise Unavailable(f"{status} for the result", retry_after_seconds=retry_after_seconds(headers))
    return Failed(reason=reason_from(payload, status=status, error_type=error_type), billable_units=units)


def billable_units(headers: Mapping[str, str]) -> Decimal | None:
    """How many of the price list's units a result cost, from its header."""
    value = headers.get("x-fal-billable-units", "")
    return Decimal(value) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value) else None


def read_cancel(status: int, body: bytes) -> CancelVerdict:
    """What fal says to a cancellation. Raises Unavailable when it says nothing that we know."""
    payload = _payload(body)
    word = payload.get("status") if isinstance(payload, Mapping) else None
    match status, word:
        case 200, "OK" | "CANCELLED":
            return "removed"
        case ((200 | 202), _):
            return "requested"
        case 400, "ALREADY_COMPLETED":
            return "finished"
        case 404, _:
            return "unknown"
    raise Unavailable(f"{status} to a cancellation")


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """A request in fal's own record."""

    request_id: str
    arguments: Any


@dataclass(frozen=True, kw_only=True)
class RecordPage:
    items: list[RecordedRequest]
    next_cursor: str | None


def read_record(body: bytes) -> RecordPage:
    """A page of fal's record of requests. Raises Unavailable for anything else."""
    page = _object(body)
    items, cursor = page.get("items"), page.get("next_cursor")
    if not isinstance(items, list):
        raise Unavailable("fal's record holds no items")
    requests = [
        RecordedRequest(request_id=item["request_id"], arguments=item.get("json_input"))
        for item in items
        if isinstance(item, Mapping) and isinstance(item.get("request_id"), str)
    ]
    return RecordPage(items=requests, next_cursor=str(cursor) if page.get("has_more") and cursor else None)


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> Exception | None:
    """What a non-2xx answer to a submission means, or None when it does not say whether the job was taken."""
    payload = _payload(body)
    reason = reason_from(payload, status=status, error_type=headers.get("x-fal-error-type", ""))
    if status in (401, 402, 403):
        return Forbidden(reason.detail)
    if status in (408, 409, 425, 429) or 300 <= status < 400:
        return Unavailable(reason.detail, retry_after_seconds=retry_after_seconds(headers))
    if status in (500, 503) and "x-fal-request-id" not in headers:
        return Unavailable(reason.detail, retry_after_seconds=retry_after_seconds(headers))
    if 400 <= status < 500:
        return Rejected(reason)
    # 502 and 504 come from a gateway that may have passed the job on; a request id means that it did.
    return None


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The wait that a response asks for in `Retry-After`, 0 to 60 seconds, or None if it asks for none."""
    return parse_retry_after(headers.get("retry-after", ""), seconds_max=RETRY_AFTER_SECONDS_MAX)


def _is_error_of_fal(payload: Any) -> bool:
    return isinstance(payload, Mapping) and ("error_type" in payload or isinstance(payload.get("detail"), list))


def _payload(body: bytes) -> Any:
    try:
        return read_json(body)
    except InvalidMessage:
        return None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        message = read_json(body)
    except InvalidMessage as error:
        raise Unavailable(f"fal's answer is not JSON: {error}") from error
    if not isinstance(message, Mapping):
        raise Unavailable("fal's answer is not a JSON object")
    return message
