"""Builds the callback of a completed request: its body and its signature, correct or with one fault.

The callback sender calls `build` for each attempt, so that every attempt is signed at the time when it is sent. Each
fault changes either the body or the signature and leaves the other correct; receivers must detect each on its own.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

from simulator.http_messages import encode_json
from simulator.records import Request
from simulator.signing import FalAccount

# fal's own words.
PAYLOAD_ERROR = (
    "Response payload is not JSON serializable. Either return a JSON serializable object or use the queue "
    "endpoint to retrieve the response."
)
# More than the 300 s that fal tells receivers to accept.
STALE_SECONDS = 1000


@dataclass(frozen=True, kw_only=True)
class CallbackMessage:
    """Body and headers of one attempt."""

    body: bytes
    headers: dict[str, str]


def correct_body(request: Request) -> bytes:
    """Return the body of the correct callback of a completed request."""
    return encode_json({**_ids(request), **_outcome(request)})


def build(request: Request, kind: str, account: FalAccount) -> CallbackMessage:
    """Build and sign the callback of a completed request.

    Args:
        kind: `true` for the correct callback, else the name of a fault.
    """
    outcome: dict[str, Any] = _outcome(request)
    if kind == "null_payload" and request.error is None:
        # Only a result can be missing: the callback of a failed request stays correct.
        outcome = {"status": "OK", "payload": None, "payload_error": PAYLOAD_ERROR}
    elif kind == "error_null_payload":
        # Observed in production: https://github.com/fal-ai/fal-js/issues/153
        error = f"Invalid status code: {request.status_code if request.error else 404}"
        outcome = {"status": "ERROR", "error": error, "payload": None, "payload_error": PAYLOAD_ERROR}
    elif kind == "contradiction":
        detail = {"detail": "Runner disconnected", "error_type": "runner_disconnected"}
        outcome = {"status": "ERROR", "error": "Invalid status code: 503", "payload": detail}
    body = encode_json({**_ids(request), **outcome})
    if kind == "garbage":
        body = b'{"request_id": "' + request.request_id.encode() + b'", "status": OK, payload: ['
    # What is signed wrongly; nothing for the other kinds.
    wrong: dict[str, dict[str, Any]] = {
        "forged": {"key": "unknown"},
        "wrong_account": {"user_id": "user_of_another_account"},
        "mismatch": {"request_id": str(uuid.uuid4())},
        "stale": {"timestamp": int(time.time()) - STALE_SECONDS},
    }
    signature = account.sign(body, **{"request_id": request.request_id, **wrong.get(kind, {})})
    headers = {"Content-Type": "application/json", "User-Agent": "fal-webhook/1.0", **signature}
    return CallbackMessage(body=body, headers=headers)


def _ids(request: Request) -> dict[str, str]:
    return {"request_id": request.request_id, "gateway_request_id": request.gateway_request_id}


def _outcome(request: Request) -> dict[str, Any]:
    if request.error is None:
        return {"status": "OK", "payload": request.answer}
    return {"status": "ERROR", "error": f"Invalid status code: {request.status_code}", "payload": request.answer}
