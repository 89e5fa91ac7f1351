"""The records that the log keeps: what clients sent to the simulator, and what it did.

Each class is one table of the log and one list of `/_simulator/log`; its fields are the columns. Tests and the chaos
run compare them with Limn's database. The first field is the primary key; times are Unix times in seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
CallbackState = Literal["none", "pending", "acknowledged", "given up"]

# Metadata of a field that is stored as JSON text.
AS_JSON = {"json": True}

# fal keeps a result for one hour, and one of 10 KB or more for six minutes (docs/fal.md).
RESULT_SECONDS = 3600
RESULT_SECONDS_LARGE = 360
LARGE_RESULT_BYTES = 10 * 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """A job that fal accepted and will bill. fal calls it a request."""

    request_id: str
    gateway_request_id: str
    endpoint: str
    inputs: Any = field(metadata=AS_JSON)
    webhook_url: str | None
    scenarios: str
    """The scenarios that apply to it, as text for `scenarios.parse`."""
    accepted_at: float
    queue_seconds: float
    """In fal's time, like `run_seconds`: the job queue divides it by the simulator's speed."""
    run_seconds: float
    ahead: int
    """Number of requests that were ahead of this one in the queue."""
    start_timeout_seconds: float | None = None
    state: State = "IN_QUEUE"
    started_at: float | None = None
    completed_at: float | None = None
    cancelled: bool = False
    status_code: int | None = None
    answer: Any = field(default=None, metadata=AS_JSON)
    """The JSON of the result: the model's output, or the error."""
    error: str | None = None
    error_type: str | None = None
    callback: CallbackState = "none"
    callback_attempts: int = 0

    @property
    def app(self) -> str:
        """Owner and alias of the endpoint, without its sub-path. Status, result and cancel URLs name only these."""
        return "/".join(self.endpoint.split("/")[:2])

    @property
    def outcome(self) -> str | None:
        """How the Platform API classifies it: `success`, `user_error` or `error`; None until it has completed."""
        if self.state != "COMPLETED":
            return None
        if self.error is None:
            return "success"
        return "user_error" if (self.status_code or 500) < 500 else "error"

    @property
    def result_seconds(self) -> int:
        """How long fal keeps the result, in fal's seconds. Large results expire sooner."""
        large = len(json.dumps(self.answer)) >= LARGE_RESULT_BYTES
        return RESULT_SECONDS_LARGE if large else RESULT_SECONDS


@dataclass(frozen=True, kw_only=True)
class Post:
    """One POST to the submit API, whether it was accepted or not."""

    number: int = 0
    at: float
    endpoint: str
    outcome: str
    """`accepted`, `refused 503`, `dropped` or `reset`."""
    request_id: str | None = None
    headers: dict[str, str] = field(metadata=AS_JSON)
    query: dict[str, str] = field(metadata=AS_JSON)
    body: bytes
    body_sha256: str
    """Of the body without its seeds and the query strings of its URLs, which may change with each attempt."""
    scenarios: str


@dataclass(frozen=True, kw_only=True)
class Callback:
    """One attempt to deliver a callback, and the receiver's answer."""

    number: int = 0
    at: float
    request_id: str
    attempt: int
    kind: str
    """`true`, or the fault that it was built with: `forged`, `stale`, …"""
    url: str
    headers: dict[str, str] = field(metadata=AS_JSON)
    body: bytes
    status: int | None = None
    """None if there was no answer; `error` says why."""
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class File:
    """An output file on the file server. Its content is drawn again whenever it is fetched."""

    path: str
    request_id: str
    position: int
    role: str
    """JSON path in the answer, such as `images[0]`."""
    media_type: str
    content_type: str
    drawing: dict[str, Any] = field(metadata=AS_JSON)
    """The fields of the media.Drawing that produces the content."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Served:
    """One response of the file server."""

    number: int = 0
    at: float
    path: str
    request_id: str | None
    role: str | None
    status: int
    fault: str | None
    sha256: str | None
    """Of the correct content, even if the fault changed what was sent."""
    headers: dict[str, str] = field(metadata=AS_JSON)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request to the canary host, which no careful client calls."""

    number: int = 0
    at: float
    method: str
    path: str
    headers: dict[str, str] = field(metadata=AS_JSON)


Record = Request | Post | Callback | File | Served | Visit
