"""The life of a request: accepted, begun, done or cancelled. Nothing else changes its state."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from generations.catalogue import find_by_endpoint
from simulator.callback_sender import Courier
from simulator.error_types import failure
from simulator.log import UNFINISHED, Log
from simulator.outcomes import Studio, Success
from simulator.records import Request
from simulator.scenarios import Plan, read
from simulator.scheduler import Timers

IMAGE_SECONDS = 0.8
OTHER_SECONDS = 2.8
SECONDS_IN_QUEUE = 0.2
STOPS_AFTER_SECONDS = 0.5
HELD_SECONDS = 10**9


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a client submitted."""

    endpoint: str
    inputs: Any
    webhook_url: str | None
    plan: Plan
    start_timeout_seconds: float | None = None


class Queue:
    """Takes requests through their life, in the background."""

    def __init__(self, *, log: Log, studio: Studio, courier: Courier, timers: Timers, speed: float) -> None:
        self._log = log
        self._studio = studio
        self._courier = courier
        self._timers = timers
        self._speed = speed

    def accept(self, order: Order) -> Request:
        """Take the job on. From here on it will be billed, whether the client hears of it or not."""
        ahead = round(order.plan.number("queue", 1))
        request = Request(
            request_id=str(uuid.uuid4()),
            gateway_request_id=str(uuid.uuid4()),
            endpoint=order.endpoint,
            inputs=order.inputs,
            webhook_url=order.webhook_url,
            scenarios=str(order.plan),
            accepted_at=time.time(),
            ahead=ahead,
            queue_seconds=float(ahead) if order.plan.has("queue") else SECONDS_IN_QUEUE,
            run_seconds=_run_seconds(order),
            start_timeout_seconds=order.start_timeout_seconds,
            callback="pending" if order.webhook_url else "none",
        )
        self._log.add(request)
        self._await_start(request)
        return request

    def finish(self, request_id: str) -> bool:
        """The job ends now. False if it had ended before, or is not known."""
        request = self._log.request(request_id)
        if request is None or request.state == "COMPLETED":
            return False
        done = self._complete(ended(request, self._studio, self._log))
        if done is not None:
            self._courier.announce(done)
        return done is not None

    def cancel(self, request_id: str) -> bool:
        """The job ends without a result. fal does not say whether it calls back then; this one does not."""
        request = self._log.request(request_id)
        if request is None or request.state == "COMPLETED":
            return False
        stopped = _with_failure(request, "client_cancelled")
        return self._complete(replace(stopped, cancelled=True, callback="none")) is not None

    def cancel_soon(self, request_id: str) -> None:
        self._after(STOPS_AFTER_SECONDS, partial(self.cancel, request_id))

    def resume(self) -> None:
        """After a restart: jobs begin their wait again, callbacks that nobody took are sent again."""
        for request in self._log.accepted():
            if request.state != "COMPLETED":
                self._await_start(request)
            elif request.callback == "pending":
                self._courier.announce(request)

    def _await_start(self, request: Request) -> None:
        self._after(request.queue_seconds, partial(self._start, request))

    def _start(self, request: Request) -> None:
        self._log.change(request.request_id, only_from=UNFINISHED, state="IN_PROGRESS", started_at=time.time())
        if request.run_seconds < HELD_SECONDS:
            self._after(request.run_seconds, partial(self.finish, request.request_id))

    def _complete(self, done: Request) -> Request | None:
        return self._log.change(
            done.request_id,
            only_from=UNFINISHED,
            state="COMPLETED",
            completed_at=time.time(),
            status_code=done.status_code,
            answer=done.answer,
            error=done.error,
            error_type=done.error_type,
            cancelled=done.cancelled,
            callback=done.callback,
        )

    def _after(self, seconds: float, action: partial[Any]) -> None:
        self._timers.after(seconds / self._speed, action)


def ended(request: Request, studio: Studio, log: Log) -> Request:
    """The request as it will be when it is done; its files lie ready from now on."""
    verdict = studio.verdict(request)
    if isinstance(verdict, Success):
        _lay_out(verdict, request, log)
        return replace(request, status_code=200, answer=verdict.answer)
    return replace(
        request,
        status_code=verdict.status,
        answer=verdict.body,
        error=verdict.error,
        error_type=verdict.error_type,
        callback="none" if read(request.scenarios).has("result", "completed_with_error") else request.callback,
    )


def _lay_out(success: Success, request: Request, log: Log) -> None:
    with log.together():
        if log.request(request.request_id) is None:
            return  # Forgotten by a reset while its files were drawn.
        for file in success.files:
            log.add(file)


def _with_failure(request: Request, error_type: str) -> Request:
    found = failure(error_type)
    return replace(request, status_code=found.status, answer=found.body, error=found.error, error_type=found.error_type)


def _run_seconds(order: Order) -> float:
    if order.plan.has("hold"):
        return HELD_SECONDS
    model = find_by_endpoint(order.endpoint)
    usual = IMAGE_SECONDS if model is not None and model.kind == "image" else OTHER_SECONDS
    return order.plan.number("slow", usual)
