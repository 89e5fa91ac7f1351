"""The simulated CDN: serves output files, correctly or with the fault of a `cdn` scenario.

Like fal's, it is public: no key is needed to read a file. Every response is recorded in the log with the SHA-256 that
the file should have.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from simulator.http_messages import HttpRequest, HttpResponse, Sender, json_response
from simulator.log import Log
from simulator.outcomes import OutcomeBuilder
from simulator.records import File, Request, Served
from simulator.response_faults import declare_huge, drip, send_endless, truncate, truncate_without_length
from simulator.scenarios import parse

BOMB_MEGABYTES = 100
EXPIRES_AFTER_SECONDS = 5.0
ERROR_PAGE = b"<!doctype html><title>Error</title><h1>The file could not be loaded</h1>"

SENDERS: Mapping[str, Sender] = {
    "truncated": truncate,
    "cut_nolen": truncate_without_length,
    "endless": send_endless,
    "drip": drip,
    "huge": declare_huge,
}


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
        """Handle GET of a file."""
        file = self._log.file(http_request.path)
        request = self._log.request(file.request_id) if file else None
        fault = None
        if file is None or request is None:
            file, response = None, _error(404)
        else:
            headers = {"Content-Type": file.content_type, "Access-Control-Allow-Origin": "*"}
            response = HttpResponse(headers=headers, body=self._outcomes.content(file))
            fault = self._next_fault(request, file)
            if fault:
                response = self._spoil(response, fault)
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

    def _next_fault(self, request: Request, file: File) -> str | None:
        """Return the fault of this response, and count it."""
        for scenario in parse(request.scenarios).all("cdn"):
            if not scenario.applies_to(file.position):
                continue
            if scenario.choice == "expires":
                age = time.time() - (request.completed_at or time.time())
                happens = age * self._speed >= EXPIRES_AFTER_SECONDS
            else:
                key = (file.path, scenario.text)
                with self._log.locked():
                    self._faults[key] += 1
                    happens = scenario.happens_after(self._faults[key] - 1)
            if happens:
                return scenario.choice
        return None

    def _spoil(self, correct: HttpResponse, fault: str) -> HttpResponse:
        if fault in SENDERS:
            return replace(correct, send=SENDERS[fault])
        if fault.isdigit():
            return _error(int(fault))
        if fault == "bomb":
            return replace(correct, headers={**correct.headers, "Content-Encoding": "gzip"}, body=_gzip_bomb())
        responses = {
            "html": HttpResponse(headers={"Content-Type": "image/png"}, body=ERROR_PAGE),
            "redirect": HttpResponse(status=302, headers={"Location": f"{self._canary_url}/files/elsewhere"}),
            "wrong_type": replace(correct, headers={**correct.headers, "Content-Type": "text/html"}),
            "expires": _error(404),
        }
        return responses[fault]


def _error(status: int) -> HttpResponse:
    headers = {"Retry-After": "1"} if status == 429 else {}
    return json_response({"detail": "The file is not available."}, status, headers)


@lru_cache(maxsize=1)
def _gzip_bomb() -> bytes:
    """Return 100 MB of zeros as about 100 KB of gzip."""
    # wbits 31 selects the gzip format. Compressed megabyte by megabyte, to hold only one of them in memory.
    compressor = zlib.compressobj(level=9, wbits=31)
    megabyte = bytes(1024**2)
    return b"".join([compressor.compress(megabyte) for _ in range(BOMB_MEGABYTES)] + [compressor.flush()])
