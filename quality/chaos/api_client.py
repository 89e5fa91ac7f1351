"""Calls Limn's API as a client does that repeats what was not answered."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

from quality.chaos.counters import Counters

TRIES_MAX = 60
# An account without credits gets some back when a generation of it fails, but not soon.
PAYMENT_TRIES_MAX = 5
PAUSE_SECONDS = 0.3
# Answers that a correct client may get while faults are injected, and after which it tries again.
TEMPORARY_STATUSES = (402, 503)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response of the API."""

    status: int
    body: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.body.get("id", ""))


@dataclass
class ApiClient:
    """Calls Limn's API with one API key."""

    port: int
    token: str
    counters: Counters

    def call(self, method: str, path: str, json_body: Any = None, idempotency_key: str = "") -> Answer | None:
        """Make one request. Returns None without an answer: the connection broke, or no server listens."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=25)
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        headers |= {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        try:
            connection.request(
                method, f"/api/v1/{path}", json.dumps(json_body) if json_body is not None else None, headers
            )
            response = connection.getresponse()
            received = response.read()
        except (OSError, HTTPException):
            self.counters.count_event("requests without an answer")
            return None
        finally:
            connection.close()
        self.counters.count_event(f"answered {response.status}")
        if response.status >= 500 and response.status != 503:
            self.counters.add_violation("I16", f"{method} {path} was answered {response.status}")
        try:
            body = json.loads(received or b"{}")
        except ValueError:
            # A proxy's answer, or the first part of one.
            body = {}
        return Answer(status=response.status, body=body if isinstance(body, dict) else {})

    def call_until_final(
        self, method: str, path: str, body: Any, idempotency_key: str, stop: threading.Event
    ) -> Answer | None:
        """Repeat a request with the same idempotency key until its answer is final, or `stop` is set.

        Returns the last answer, which may be temporary. Returns None if there was no final one and the connection broke
        at least once: then the request may have been processed.
        """
        has_broken = False
        for attempt in range(TRIES_MAX):
            if stop.is_set() and attempt:
                break
            answer = self.call(method, path, body, idempotency_key)
            is_too_poor = answer is not None and answer.status == 402 and attempt >= PAYMENT_TRIES_MAX
            if answer is not None and (answer.status not in TEMPORARY_STATUSES or is_too_poor):
                return answer
            has_broken = has_broken or answer is None
            stop.wait(PAUSE_SECONDS)
        return None if has_broken else answer
