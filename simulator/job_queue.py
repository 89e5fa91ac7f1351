"""The life of a job: accepted, started, completed or cancelled. Only this module changes the state of a request.

The submit API calls `accept`, the status API `cancel`, the control API `finish`; the scheduler starts and ends jobs in
between. All durations are fal's, and divided by the simulator's speed.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from generations.catalogue import find_by_endpoint
from simulator.callback_sender import CallbackSender
from simulator.error_types import failure
from simulator.log import UNFINISHED, Log
from simulator.outcomes import OutcomeBuilder, Success
from simulator.records import Request
from simulator.scenarios import Plan, parse
from simulator.scheduler import Scheduler

# How long jobs run: long enough to be seen running, short enough to wait for.
IMAGE_SECONDS = 0.8
OTHER_SECONDS = 2.8
QUEUE_SECONDS = 0.2
CANCEL_SECONDS = 0.5
# The run time of a job that only `finish` or `cancel` ends.
HELD_SECONDS = 10**9


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a client submitted, with the scenarios that apply to it."""

    endpoint: str
    inputs: Any
    webhook_url: str | None
    plan: Plan
    start_timeout_seconds: float | None = None


class JobQueue:
    """Moves requests through their states in the background."""

    def __init__(
        self, *, log: Log, outcomes: OutcomeBuilder, callbacks: CallbackSender, scheduler: Scheduler, speed: float
    ) -> None:
        self._log = log
        self._outcomes = outcomes
        self._callbacks = callbacks
        self._scheduler = scheduler
        self._speed = speed

    def accept(self, submission: Submission) -> Request:
        """Accept a job. From here on it is billed, whether or not the client receives the response."""
        plan = submission.plan
        # One by default, so that a client sees a position in the queue before the job starts.
        ahead = round(plan.number("queue", 1))
        model = find_by_endpoint(submission.endpoint)
        run_seconds = IMAGE_SECONDS if model is not None and model.kind == "image" else OTHER_SECONDS
        request = Request(
            request_id=str(uuid.uuid4()),
            gateway_request_id=str(uuid.uuid4()),
            endpoint=submission.endpoint,
            inputs=submission.inputs,
            webhook_url=submission.webhook_url,
            scenarios=str(plan),
            accepted_at=time.time(),
            ahead=ahead,
            queue_seconds=float(ahead) if plan.has("queue") else QUEUE_SECONDS,
            run_seconds=HELD_SECONDS if plan.has("hold") else plan.number("slow", run_seconds),
            start_timeout_seconds=submission.start_timeout_seconds,
            # Callbacks that are still pending after a restart are sent then.
            callback="pending" if submission.webhook_url else "none",
        )
        self._log.add(request)
        self._schedule_start(request)
        return request

    def finish(self, request_id: str) -> bool:
        """Complete a job now and schedule its callback. Returns False if it is unknown or has completed."""
        request = self._log.request(request_id)
        if request is None or request.state == "COMPLETED":
            return False
        # The files are drawn before the state changes, so that a client that sees COMPLETED can fetch them. If the job
        # is cancelled meanwhile, `_complete` changes nothing.
        completed = self._complete(self.with_outcome(request))
        if completed is not None:
            self._callbacks.schedule(completed)
        return completed is not None

    def cancel(self, request_id: str) -> bool:
        """Complete a job without a result. Returns False if it is unknown or has completed.

        fal does not document whether it sends a callback for a cancelled request. This simulator does not.
        """
        request = self._log.request(request_id)
        if request is None or request.state == "COMPLETED":
            return False
        cancelled = failure("client_cancelled")
        completed = replace(
            request,
            status_code=cancelled.status,
            answer=cancelled.body,
            error=cancelled.error,
            error_type=cancelled.error_type,
            cancelled=True,
            callback="none",
        )
        return self._complete(completed) is not None

    def cancel_later(self, request_id: str) -> None:
        """Cancel a job half a second of fal's time later, as a runner that reacts to the signal."""
        self._call_later(CANCEL_SECONDS, partial(self.cancel, request_id))

    def resume(self) -> None:
        """After a restart, let unfinished jobs wait again from the start, and send the pending callbacks."""
        for request in self._log.accepted():
            if request.state != "COMPLETED":
                self._schedule_start(request)
            elif request.callback == "pending":
                self._callbacks.schedule(request)

    def with_outcome(self, request: Request) -> Request:
        """Return the request as it will be when it completes, and publish its files."""
        outcome = self._outcomes.outcome(request)
        if isinstance(outcome, Success):
            with self._log.locked():
                # The simulator may have been reset while the files were drawn.
                if self._log.request(request.request_id) is not None:
                    for file in outcome.files:
                        self._log.add(file)
            return replace(request, status_code=200, answer=outcome.answer)
        # This scenario hides the failure from callbacks, so that only a client that polls learns of it.
        without_callback = parse(request.scenarios).has("result", "completed_with_error")
        return replace(
            request,
            status_code=outcome.status,
            answer=outcome.body,
            error=outcome.error,
            error_type=outcome.error_type,
            callback="none" if without_callback else request.callback,
        )

    def _schedule_start(self, request: Request) -> None:
        self._call_later(request.queue_seconds, partial(self._start, request))

    def _start(self, request: Request) -> None:
        # A cancelled job has left UNFINISHED and is not started; its `finish` then returns False.
        self._log.update_request(request.request_id, only_from=UNFINISHED, state="IN_PROGRESS", started_at=time.time())
        if request.run_seconds < HELD_SECONDS:
            self._call_later(request.run_seconds, partial(self.finish, request.request_id))

    def _complete(self, completed: Request) -> Request | None:
        """Store the outcome. Returns None if the request has completed meanwhile."""
        return self._log.update_request(
            completed.request_id,
            only_from=UNFINISHED,
            state="COMPLETED",
            completed_at=time.time(),
            status_code=completed.status_code,
            answer=completed.answer,
            error=completed.error,
            error_type=completed.error_type,
            cancelled=completed.cancelled,
            callback=completed.callback,
        )

    def _call_later(self, seconds: float, action: partial[Any]) -> None:
        self._scheduler.call_later(seconds / self._speed, action)
