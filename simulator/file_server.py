"""The simulated CDN: serves output files, correctly or with the fault of a `cdn` scenario.

Like fal's, it is public: no key is needed to read a file. Every response is recorded in the log with the SHA-256 that
the file should have.
"""

from __future__ import annotations

import time
from collections import Counter

from simulator.file_faults import SENDERS, answer_question, file_error, spoil_file
from simulator.http_messages import HttpRequest, HttpResponse
from simulator.log import Log
from simulator.outcomes import OutcomeBuilder
from simulator.records import File, Request, Served
from simulator.scenarios import parse

EXPIRES_AFTER_SECONDS = 5.0


class FileServer:
    """Handler of `/files/…`."""

    def __init__(self, *, log: Log, outcomes: OutcomeBuilder, canary_url: str, speed: float) -> None:
        self._log = log
        self._outcomes = outcomes
        self._canary_url = canary_url
        self._speed = speed
        # How often each fault has happened, by path and scenario.
        self._faults: Counter[tuple[str, str]] = Counter()

    def serve(self, http_request: HttpRequest) -> HttpResponse:
        """Handle GET and HEAD of a file."""
        file = self._log.file(http_request.path)
        request = self._log.request(file.request_id) if file else None
        fault = None
        if file is None or request is None:
            file, response = None, file_error(404)
        else:
            headers = {"Content-Type": file.content_type, "Access-Control-Allow-Origin": "*"}
            response = HttpResponse(headers=headers, body=self._outcomes.content(file))
            asked_range = http_request.headers.get("range")
            is_question = http_request.method == "HEAD" or asked_range is not None
            fault = self._next_fault(request, file, counts=not is_question)
            if is_question and (fault is None or fault in SENDERS):
                response = answer_question(response, fault, asked_range=asked_range)
            elif fault:
                response = spoil_file(response, fault, canary_url=self._canary_url)
        self._log.add(
            Served(
                at=time.time(),
                path=http_request.path,
                request_id=file.request_id if file else None,
                role=file.role if file else None,
                status=response.status,
                fault=fault,
                sha256=file.sha256 if file else None,
                headers=dict(http_request.headers),
            )
        )
        return response

    def reset(self) -> None:
        """Forget how often each fault has happened."""
        self._faults.clear()

    def _next_fault(self, request: Request, file: File, *, counts: bool) -> str | None:
        """Return the fault of this response, and count it if it `counts`."""
        for scenario in parse(request.scenarios).all("cdn"):
            if not scenario.applies_to(file.position):
                continue
            if scenario.choice == "expires":
                age = time.time() - (request.completed_at or time.time())
                happens = age * self._speed >= EXPIRES_AFTER_SECONDS
            else:
                # Counted for each file: a client that repeats one download must not use up the faults of another.
                key = (file.path, scenario.text)
                with self._log.locked():
                    earlier = self._faults[key]
                    self._faults[key] += counts
                happens = scenario.happens_after(earlier)
            if happens:
                return scenario.choice
        return None
