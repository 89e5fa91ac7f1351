"""Answers the three URLs that a submission returns: status, result and cancel.

Scenarios of the groups `status`, `result` and `cancel` take effect here. A result that has expired is answered like an
unknown request, as at fal.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from generations.catalogue import find_by_endpoint
from simulator.billing import Bill
from simulator.error_types import ERRORS
from simulator.http_messages import HttpRequest, HttpResponse, json_response
from simulator.job_queue import JobQueue
from simulator.log import Log
from simulator.records import Request
from simulator.scenarios import parse
from simulator.signing import FalAccount

Handler = Callable[[HttpRequest, str, str], HttpResponse]

NOT_FOUND = {"status": "NOT_FOUND"}

# What each kind of model logs while it runs.
LOG_MESSAGES = {
    "3d": (
        "Initializing model",
        "Processing image",
        "Generating mesh",
        "Applying textures",
        "Optimizing geometry",
        "Finalizing output",
    ),
    "video": ("Loading model", "Encoding prompt", "Denoising frames: 40%", "Denoising frames: 80%", "Encoding video"),
    "image": ("Loading model", "Denoising: 50%", "Denoising: 100%"),
    "audio": ("Loading model", "Synthesizing"),
}


class StatusApi:
    """Handlers for `/{owner}/{app}/requests/{id}` and the paths below it."""

    def __init__(
        self, *, log: Log, queue: JobQueue, account: FalAccount, bill: Bill, base_url: str, speed: float
    ) -> None:
        self._log = log
        self._bill = bill
        self._queue = queue
        self._account = account
        self._base_url = base_url
        self._speed = speed
        # How often each fault has happened, by request id and scenario.
        self._faults: Counter[tuple[str, str]] = Counter()

    def status(self, http_request: HttpRequest, app: str, request_id: str) -> HttpResponse:
        """Handle GET of the status: 202 while the job waits or runs, 200 when it has completed."""
        request = self._find(app, request_id)
        if request is None or self._has_expired(request):
            return json_response(NOT_FOUND, 404)
        for scenario in parse(request.scenarios).all("poll"):
            # A job can only go back to the queue while it runs.
            if scenario.choice == "back_to_queue" and request.state != "IN_PROGRESS":
                continue
            # Polls are counted even after the fault has passed: `happens_after` needs the number.
            count = self._count_fault(request, scenario.text)
            if not scenario.happens_after(count - 1):
                continue
            if scenario.choice == "404":
                return json_response(NOT_FOUND, 404)
            if scenario.choice == "500":
                return json_response({"detail": "Internal server error"}, 500)
            if scenario.choice == "unknown":
                return json_response({**self._status_body(request), "status": "PONDERING"}, 202)
            if count == 2:
                # back_to_queue: the first poll saw IN_PROGRESS, the second sees IN_QUEUE, as after a retry by fal.
                return json_response({**self._status_body(request), "status": "IN_QUEUE", "queue_position": 0}, 202)
        body = self._status_body(request, with_logs=http_request.query.get("logs", "").lower() in ("1", "true"))
        return json_response(body, 200 if request.state == "COMPLETED" else 202, _id_header(request))

    def result(self, http_request: HttpRequest, app: str, request_id: str) -> HttpResponse:
        """Handle GET of the result: the model's answer or its error, with the headers that fal adds."""
        request = self._find(app, request_id)
        if request is None or self._has_expired(request):
            return json_response(NOT_FOUND, 404)
        if request.state != "COMPLETED":
            # fal does not document this case.
            return json_response({"detail": "Request is still in progress"}, 400, _id_header(request))
        plan = parse(request.scenarios)
        if plan.has("result", "404"):
            return json_response(NOT_FOUND, 404)
        if plan.has("result", "410"):
            return json_response({"detail": "The result has expired"}, 410)
        for scenario in plan.all("result"):
            # Once, unless the scenario says how often.
            if scenario.choice == "504" and self._count_fault(request, scenario.text) <= (scenario.times or 1):
                return json_response({"detail": "Gateway timeout"}, 504)
        headers = {**_id_header(request), "X-Fal-Billable-Units": f"{self._bill.units(request):f}"}
        if request.error_type is not None:
            # Errors of input validation are not in the table; they are never retryable.
            known = ERRORS.get(request.error_type)
            retryable = known is not None and known.retryable
            headers |= {"X-Fal-Error-Type": request.error_type, "X-Fal-Retryable": str(retryable).lower()}
            headers["X-Fal-Needs-Retry"] = "1" if retryable else "0"
        if request.error_type == "request_timeout":
            headers["X-Fal-Request-Timeout-Type"] = "user"
        return json_response(request.answer, request.status_code or 200, headers)

    def cancel(self, http_request: HttpRequest, app: str, request_id: str) -> HttpResponse:
        """Handle PUT of the cancellation. A waiting job is removed at once, a running one half a second later."""
        request = self._find(app, request_id)
        scenario = parse(request.scenarios).get("cancel") if request else None
        choice = scenario.choice if scenario else ""
        if request is None or choice == "404":
            return json_response(NOT_FOUND, 404)
        if request.state == "COMPLETED" or choice == "already_completed":
            return json_response({"status": "ALREADY_COMPLETED"}, 400)
        # fal removes a waiting job at once. A running one gets a signal, to which it may react or not.
        if choice == "ok" or (not choice and request.state == "IN_QUEUE"):
            self._queue.cancel(request.request_id)
            return json_response({"status": "OK"})
        if choice != "completes_anyway":
            self._queue.cancel_later(request.request_id)
        return json_response({"status": "CANCELLATION_REQUESTED"}, 202)

    def require_key(self, handler: Handler) -> Handler:
        """Return a handler that answers 401 unless the account's key is sent."""

        def handle(http_request: HttpRequest, app: str, request_id: str) -> HttpResponse:
            if http_request.headers.get("authorization") != f"Key {self._account.fal_key}":
                return json_response({"detail": "invalid key credentials"}, 401)
            return handler(http_request, app, request_id)

        return handle

    def reset(self) -> None:
        """Forget how often each fault has happened."""
        self._faults.clear()

    def _find(self, app: str, request_id: str) -> Request | None:
        request = self._log.request(request_id)
        # fal answers 404 if the URL names another app than the submission did.
        return request if request is not None and request.app == app else None

    def _has_expired(self, request: Request) -> bool:
        if request.completed_at is None:
            return False
        return (time.time() - request.completed_at) * self._speed >= request.result_seconds

    def _count_fault(self, request: Request, scenario: str) -> int:
        """Count a fault and return how often it has happened, including this time."""
        with self._log.locked():
            self._faults[(request.request_id, scenario)] += 1
            return self._faults[(request.request_id, scenario)]

    def _status_body(self, request: Request, *, with_logs: bool = False) -> dict[str, Any]:
        url = f"{self._base_url}/{request.app}/requests/{request.request_id}"
        body: dict[str, Any] = {
            "status": request.state,
            "request_id": request.request_id,
            "response_url": url,
            "status_url": f"{url}/status",
            "cancel_url": f"{url}/cancel",
            "logs": self._log_lines(request) if with_logs else None,
        }
        if request.state == "IN_QUEUE":
            # The position falls evenly from `ahead` to 0 while the request waits.
            waited = (time.time() - request.accepted_at) * self._speed
            left = 1 - waited / max(request.queue_seconds, 0.001)
            body["queue_position"] = max(0, min(request.ahead, round(request.ahead * left)))
        if request.state == "COMPLETED":
            seconds = 0.0
            if request.started_at is not None and request.completed_at is not None:
                seconds = (request.completed_at - request.started_at) * self._speed
            body["metrics"] = {"inference_time": round(seconds, 3)}
        if request.error is not None:
            # fal has no status for failures: a failed request is COMPLETED and has an error.
            body |= {"error": request.error, "error_type": request.error_type}
        return body

    def _log_lines(self, request: Request) -> list[dict[str, str]]:
        """Return the lines logged so far; the model's messages are spread evenly over its run."""
        if request.started_at is None:
            return []
        model = find_by_endpoint(request.endpoint)
        messages = LOG_MESSAGES[model.kind if model else "image"]
        ended_at = request.completed_at or request.started_at + request.run_seconds / self._speed
        lines = []
        for number, message in enumerate(messages):
            at = request.started_at + (ended_at - request.started_at) * number / len(messages)
            if at <= time.time():
                timestamp = datetime.fromtimestamp(at, UTC).isoformat()
                lines.append({"message": message, "level": "INFO", "source": "USER", "timestamp": timestamp})
        return lines


def _id_header(request: Request) -> dict[str, str]:
    return {"x-fal-request-id": request.request_id}
