"""What the log remembers: plain, frozen records of what fal saw and did."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
CallbackState = Literal["none", "pending", "acknowledged", "given up"]

# Marks a field that is stored as JSON text.
AS_JSON = {"json": True}

RESULT_SECONDS = 3600
RESULT_SECONDS_WHEN_BIG = 360
BIG_RESULT_BYTES = 10 * 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """A job that fal accepted, and will bill."""

    request_id: str
    gateway_request_id: str
    endpoint: str
    inputs: Any = field(metadata=AS_JSON)
    webhook_url: str | None
    scenarios: str
    accepted_at: float
    queue_seconds: float
    """Fal's seconds: divided by the simulator's speed when they are waited for."""
    run_seconds: float
    ahead: int
    """How many requests stood before this one in the queue."""
    start_timeout_seconds: float | None = None
    state: State = "IN_QUEUE"
    started_at: float | None = None
    completed_at: float | None = None
    cancelled: bool = False
    status_code: int | None = None
    answer: Any = field(default=None, metadata=AS_JSON)
    error: str | None = None
    error_type: str | None = None
    callback: CallbackState = "none"
    callback_attempts: int = 0

    @property
    def app(self) -> str:
        """Owner and alias, without the sub-path: what the status, result and cancel addresses hold."""
        return "/".join(self.endpoint.split("/")[:2])

    @property
    def result_seconds(self) -> int:
        """How long fal keeps the result. Bigger ones go sooner (fal-facts.md §2.1)."""
        big = len(json.dumps(self.answer)) >= BIG_RESULT_BYTES
        return RESULT_SECONDS_WHEN_BIG if big else RESULT_SECONDS


@dataclass(frozen=True, kw_only=True)
class Post:
    """A POST on a submit path: accepted, refused or dropped."""

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
    """Without the queries of the addresses in it, which may be signed anew for each attempt."""
    scenarios: str


@dataclass(frozen=True, kw_only=True)
class Callback:
    """One attempt to deliver a callback, with what the receiver answered."""

    number: int = 0
    at: float
    request_id: str
    attempt: int
    kind: str
    """`true`, or the way in which it was not: `forged`, `stale`, …"""
    url: str
    headers: dict[str, str] = field(metadata=AS_JSON)
    body: bytes
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class File:
    """An output that lies on the CDN. Its bytes are drawn again whenever they are asked for."""

    path: str
    request_id: str
    position: int
    role: str
    media_type: str
    content_type: str
    drawing: dict[str, Any] = field(metadata=AS_JSON)
    """What to draw; see media.Drawing."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Served:
    """One answer of the CDN."""

    number: int = 0
    at: float
    path: str
    request_id: str | None
    role: str | None
    status: int
    fault: str | None
    sha256: str | None
    """Of the file as it should be, whatever the fault made of it."""
    headers: dict[str, str] = field(metadata=AS_JSON)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """Somebody came to the canary: an address that no careful client ever calls."""

    number: int = 0
    at: float
    method: str
    path: str
    headers: dict[str, str] = field(metadata=AS_JSON)


Record = Request | Post | Callback | File | Served | Visit
