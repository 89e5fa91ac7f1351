"""The canary: a host that no careful client calls, and that records each request to it.

Redirects, forged output URLs and wrong queue URLs lead here. It is the same server under the name `localhost` instead
of 127.0.0.1, so nothing leaves the machine, and `localhost` is not in FAL_MEDIA_HOSTS. All headers are recorded, so
that a test can also see whether a client sent its key along.
"""

from __future__ import annotations

import time

from simulator.http_messages import HttpRequest, HttpResponse, json_response
from simulator.log import Log
from simulator.records import Visit

PREFIX = "/_canary"


class CanaryHost:
    """Answers every path below `/_canary`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def answer(self, http_request: HttpRequest) -> HttpResponse:
        """Record the visit and answer 200."""
        self._log.add(
            Visit(
                at=time.time(),
                method=http_request.method,
                path=http_request.path,
                headers=dict(http_request.headers),
            )
        )
        return json_response({"detail": "This is the canary host. A careful client does not call it."})
