"""Answers those who ask after a request: its status, its result, and whether it can be cancelled."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from generations.catalogue import find_by_endpoint
from simulator.billing import Bill
from simulator.error_types import ERRORS
from simulator.http_messages import Call, Reply, as_json
from simulator.job_queue import Queue
from simulator.log import Log
from simulator.records import Request
from simulator.scenarios import Plan, read
from simulator.signing import Identity

Answer = Callable[[Call, str, str], Reply]

NOT_FOUND = {"status": "NOT_FOUND"}

MESSAGES = {
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


class Asking:
    """The three addresses that a submit hands out."""

    def __init__(self, *, log: Log, queue: Queue, identity: Identity, bill: Bill, base_url: str, speed: float) -> None:
        self._log = log
        self._bill = bill
        self._queue = queue
        self._identity = identity
        self._base_url = base_url
        self._speed = speed
        self._faults: Counter[tuple[str, str]] = Counter()

    def status(self, call: Call, app: str, request_id: str) -> Reply:
        request = self._find(app, request_id)
        if request is None or self._expired(request):
            return as_json(NOT_FOUND, 404)
        if (fault := self._poll_fault(request)) is not None:
            return fault
        body = self._status_body(request, with_logs=call.query.get("logs", "").lower() in ("1", "true"))
        return as_json(body, 200 if request.state == "COMPLETED" else 202, _named(request))

    def result(self, call: Call, app: str, request_id: str) -> Reply:
        request = self._find(app, request_id)
        if request is None or self._expired(request):
            return as_json(NOT_FOUND, 404)
        if request.state != "COMPLETED":
            return as_json({"detail": "Request is still in progress"}, 400, _named(request))
        return self._result_fault(request) or self._result(request)

    def cancel(self, call: Call, app: str, request_id: str) -> Reply:
        request = self._find(app, request_id)
        choice = read(request.scenarios).get("cancel") if request else None
        if request is None or (choice and choice.choice == "404"):
            return as_json(NOT_FOUND, 404)
        if request.state == "COMPLETED" or (choice and choice.choice == "already_completed"):
            return as_json({"status": "ALREADY_COMPLETED"}, 400)
        return self._cancel(request, choice.choice if choice else "")

    def keyed(self, answer: Answer) -> Answer:
        """The same answer, for those who bring the account's key."""

        def answer_to_the_owner(call: Call, app: str, request_id: str) -> Reply:
            if call.headers.get("authorization") != f"Key {self._identity.fal_key}":
                return as_json({"detail": "invalid key credentials"}, 401)
            return answer(call, app, request_id)

        return answer_to_the_owner

    def forget(self) -> None:
        self._faults.clear()

    def _find(self, app: str, request_id: str) -> Request | None:
        request = self._log.request(request_id)
        return request if request is not None and request.app == app else None

    def _expired(self, request: Request) -> bool:
        if request.completed_at is None:
            return False
        return (time.time() - request.completed_at) * self._speed >= request.result_seconds

    def _poll_fault(self, request: Request) -> Reply | None:
        for scenario in read(request.scenarios).all("poll"):
            if scenario.choice == "back_to_queue" and request.state != "IN_PROGRESS":
                continue
            count = self._count(request, scenario.written)
            if scenario.lasts(count - 1) and (fault := self._fault(request, scenario.choice, count)) is not None:
                return fault
        return None

    def _fault(self, request: Request, choice: str, count: int) -> Reply | None:
        if choice == "404":
            return as_json(NOT_FOUND, 404)
        if choice == "500":
            return as_json({"detail": "Internal server error"}, 500)
        if choice == "unknown":
            return as_json({**self._status_body(request), "status": "PONDERING"}, 202)
        if count == 2:
            # It was seen in progress once; now it waits again, as after a retry on fal's side.
            return as_json({**self._status_body(request), "status": "IN_QUEUE", "queue_position": 0}, 202)
        return None

    def _result_fault(self, request: Request) -> Reply | None:
        plan = read(request.scenarios)
        for choice in ("404", "410"):
            if plan.has("result", choice):
                return as_json(NOT_FOUND if choice == "404" else {"detail": "The result has expired"}, int(choice))
        return self._gateway_timeout(request, plan)

    def _gateway_timeout(self, request: Request, plan: Plan) -> Reply | None:
        for scenario in plan.all("result"):
            # Once, unless the scenario says how often.
            if scenario.choice == "504" and self._count(request, scenario.written) <= (scenario.times or 1):
                return as_json({"detail": "Gateway timeout"}, 504)
        return None

    def _count(self, request: Request, written: str) -> int:
        with self._log.together():
            self._faults[(request.request_id, written)] += 1
            return self._faults[(request.request_id, written)]

    def _result(self, request: Request) -> Reply:
        headers = {**_named(request), "X-Fal-Billable-Units": f"{self._bill.units(request):f}"}
        if request.error_type is not None:
            known = ERRORS.get(request.error_type)
            retryable = str(known is not None and known.retryable).lower()
            headers |= {"X-Fal-Error-Type": request.error_type, "X-Fal-Retryable": retryable}
            headers["X-Fal-Needs-Retry"] = "1" if retryable == "true" else "0"
        if request.error_type == "request_timeout":
            headers["X-Fal-Request-Timeout-Type"] = "user"
        return as_json(request.answer, request.status_code or 200, headers)

    def _status_body(self, request: Request, *, with_logs: bool = False) -> dict[str, Any]:
        address = f"{self._base_url}/{request.app}/requests/{request.request_id}"
        body: dict[str, Any] = {
            "status": request.state,
            "request_id": request.request_id,
            "response_url": address,
            "status_url": f"{address}/status",
            "cancel_url": f"{address}/cancel",
        }
        body["logs"] = self._logs(request) if with_logs else None
        if request.state == "IN_QUEUE":
            body["queue_position"] = self._position(request)
        if request.state == "COMPLETED":
            body["metrics"] = {"inference_time": round(self._inference_seconds(request), 3)}
        if request.error is not None:
            body |= {"error": request.error, "error_type": request.error_type}
        return body

    def _position(self, request: Request) -> int:
        """Counts down while the request waits."""
        waited = (time.time() - request.accepted_at) * self._speed
        left = 1 - waited / max(request.queue_seconds, 0.001)
        return max(0, min(request.ahead, round(request.ahead * left)))

    def _inference_seconds(self, request: Request) -> float:
        if request.started_at is None or request.completed_at is None:
            return 0.0
        return (request.completed_at - request.started_at) * self._speed

    def _logs(self, request: Request) -> list[dict[str, str]]:
        """The lines that the model has written by now, evenly over its run."""
        if request.started_at is None:
            return []
        model = find_by_endpoint(request.endpoint)
        messages = MESSAGES[model.kind if model else "image"]
        begun = request.started_at
        length = (request.completed_at - begun) if request.completed_at else request.run_seconds / self._speed
        times = [begun + length * number / len(messages) for number in range(len(messages))]
        return [_log_line(message, at) for message, at in zip(messages, times, strict=True) if at <= time.time()]

    def _cancel(self, request: Request, choice: str) -> Reply:
        if choice == "ok" or (not choice and request.state == "IN_QUEUE"):
            self._queue.cancel(request.request_id)
            return as_json({"status": "OK"})
        if choice != "completes_anyway":
            self._queue.cancel_soon(request.request_id)
        return as_json({"status": "CANCELLATION_REQUESTED"}, 202)


def _named(request: Request) -> dict[str, str]:
    return {"x-fal-request-id": request.request_id}


def _log_line(message: str, at: float) -> dict[str, str]:
    stamp = datetime.fromtimestamp(at, UTC).isoformat()
    return {"message": message, "level": "INFO", "source": "USER", "timestamp": stamp}
