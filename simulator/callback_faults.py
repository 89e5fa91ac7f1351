"""What a callback says: its body, its signature, and the ways in which both can be wrong."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.http_messages import encoded
from simulator.records import Request
from simulator.signing import Identity

NOT_SERIALISABLE = (
    "Response payload is not JSON serializable. Either return a JSON serializable object or use the queue "
    "endpoint to retrieve the response."
)
STALE_SECONDS = 1000


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A callback, ready to be sent."""

    body: bytes
    headers: dict[str, str]


def body_of(request: Request) -> bytes:
    """What fal truly has to say about a completed request."""
    return encoded(_ok(request) if request.error is None else _error(request))


def write(request: Request, kind: str, identity: Identity) -> Letter:
    """A letter of this kind, freshly signed."""
    body = _BODIES.get(kind, body_of)(request)
    headers = _SIGNATURES.get(kind, _signed)(request, body, identity)
    return Letter(body=body, headers={"Content-Type": "application/json", "User-Agent": "fal-webhook/1.0", **headers})


def _ok(request: Request) -> dict[str, Any]:
    return {**_ids(request), "status": "OK", "payload": request.answer}


def _error(request: Request) -> dict[str, Any]:
    error = f"Invalid status code: {request.status_code}"
    return {**_ids(request), "status": "ERROR", "error": error, "payload": request.answer}


def _null_payload(request: Request) -> bytes:
    body = {**_ids(request), "status": "OK", "payload": None, "payload_error": NOT_SERIALISABLE}
    return encoded(body if request.error is None else _error(request))


def _error_null_payload(request: Request) -> bytes:
    # Seen in the wild: https://github.com/fal-ai/fal-js/issues/153
    error = f"Invalid status code: {request.status_code if request.error else 404}"
    body = {**_ids(request), "status": "ERROR", "error": error, "payload": None}
    return encoded({**body, "payload_error": NOT_SERIALISABLE})


def _contradiction(request: Request) -> bytes:
    detail = {"detail": "Runner disconnected", "error_type": "runner_disconnected"}
    return encoded({**_ids(request), "status": "ERROR", "error": "Invalid status code: 503", "payload": detail})


def _garbage(request: Request) -> bytes:
    return b'{"request_id": "' + request.request_id.encode() + b'", "status": OK, payload: ['


def _ids(request: Request) -> dict[str, Any]:
    return {"request_id": request.request_id, "gateway_request_id": request.gateway_request_id}


def _signed(request: Request, body: bytes, identity: Identity) -> dict[str, str]:
    return identity.sign(body, request_id=request.request_id)


def _forged(request: Request, body: bytes, identity: Identity) -> dict[str, str]:
    return identity.sign(body, request_id=request.request_id, key="unknown")


def _wrong_account(request: Request, body: bytes, identity: Identity) -> dict[str, str]:
    return identity.sign(body, request_id=request.request_id, user_id="user_somebody_else")


def _mismatch(request: Request, body: bytes, identity: Identity) -> dict[str, str]:
    return identity.sign(body, request_id=str(uuid.uuid4()))


def _stale(request: Request, body: bytes, identity: Identity) -> dict[str, str]:
    return identity.sign(body, request_id=request.request_id, timestamp=int(time.time()) - STALE_SECONDS)


_BODIES: Mapping[str, Callable[[Request], bytes]] = {
    "null_payload": _null_payload,
    "error_null_payload": _error_null_payload,
    "contradiction": _contradiction,
    "garbage": _garbage,
}
_SIGNATURES: Mapping[str, Callable[[Request, bytes, Identity], dict[str, str]]] = {
    "forged": _forged,
    "wrong_account": _wrong_account,
    "mismatch": _mismatch,
    "stale": _stale,
}
