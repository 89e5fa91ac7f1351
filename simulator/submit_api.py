"""Answers `POST /{endpoint}?fal_webhook=…`: decides whether fal accepts a job, and what the client is told.

Scenarios of the group `submit` take effect here, some before the job is accepted and some after. Every POST is recorded
in the log with its outcome before it is answered, so that tests can count what fal accepted, whatever the client saw.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from generations.catalogue import find_by_endpoint
from simulator.callback_sender import CallbackSender
from simulator.http_messages import HttpRequest, HttpResponse, json_response
from simulator.job_queue import JobQueue, Submission
from simulator.log import Log
from simulator.records import Post, Request
from simulator.response_faults import drop
from simulator.scenario_queue import ScenarioQueue
from simulator.scenarios import Plan, UnknownScenario, find_in, parse
from simulator.signing import FalAccount
from simulator.submit_faults import BEFORE_ACCEPT, refusal, spoil_acceptance

# How far back an acknowledged request is looked for.
RECENT_MAX = 100
SCENARIO_HEADER = "x-simulator-scenario"


class SubmitApi:
    """Handler of submissions."""

    def __init__(
        self,
        *,
        log: Log,
        queue: JobQueue,
        callbacks: CallbackSender,
        account: FalAccount,
        scenarios: ScenarioQueue,
        stopping: threading.Event,
        base_url: str,
        canary_url: str,
        speed: float,
    ) -> None:
        self._log = log
        self._queue = queue
        self._callbacks = callbacks
        self._account = account
        self._scenarios = scenarios
        self._stopping = stopping
        self._base_url = base_url
        self._canary_url = canary_url
        self._speed = speed
        self._resets = 0

    def submit(self, http_request: HttpRequest) -> HttpResponse:
        """Handle a submission."""
        try:
            in_header = parse(http_request.headers.get(SCENARIO_HEADER, ""))
        except UnknownScenario as unknown:
            return self._refuse(http_request, Plan(), json_response({"detail": str(unknown)}, 400))
        plan = in_header + self._scenarios.pop() + find_in(_inputs(http_request))
        # Scenarios come before the checks, so that a fault does not depend on a correct key.
        if (fault := self._fault_before_accept(http_request, plan)) is not None:
            return fault
        if plan.has("slow_accept"):
            resets = self._resets
            self._stopping.wait(plan.number("slow_accept", 0) / self._speed)
            if resets != self._resets:
                # The simulator was reset meanwhile: this submission belongs to a test that has ended.
                return HttpResponse(send=drop)
        if (error := self._validate(http_request)) is not None:
            return self._refuse(http_request, plan, error)
        return self._accept(http_request, plan)

    def reset(self) -> None:
        """Drop the submissions that still wait for `slow_accept`."""
        self._resets += 1

    def _fault_before_accept(self, http_request: HttpRequest, plan: Plan) -> HttpResponse | None:
        earlier = self._log.count_posts(_body_hash(http_request.body))
        for scenario in plan.after(earlier).scenarios:
            if scenario.name in BEFORE_ACCEPT:
                outcome, send = BEFORE_ACCEPT[scenario.name]
                self._record(http_request, plan, outcome)
                return HttpResponse(send=send)
            if scenario.name == "status":
                return self._refuse(http_request, plan, refusal(scenario.choice))
            if scenario.name == "redirect":
                target = f"http://{scenario.choice}" if scenario.choice else self._canary_url
                redirect = HttpResponse(status=307, headers={"Location": f"{target}{http_request.path}"})
                return self._refuse(http_request, plan, redirect)
        return None

    def _validate(self, http_request: HttpRequest) -> HttpResponse | None:
        """Return fal's refusal of a wrong submission. Inputs are checked only when the job starts."""
        endpoint = _endpoint(http_request)
        if http_request.headers.get("authorization") != f"Key {self._account.fal_key}":
            return refusal("401")
        if find_by_endpoint(endpoint) is None:
            return json_response({"detail": f"Application '{endpoint}' not found"}, 404)
        if not isinstance(_inputs(http_request), dict):
            entry = {"loc": ["body"], "msg": "The body must be a JSON object", "type": "json_invalid"}
            return json_response({"detail": [entry]}, 422)
        length_max = http_request.query.get("fal_max_queue_length", "")
        if length_max.isdigit():
            waiting = sum(request.state == "IN_QUEUE" for request in self._log.unfinished())
            if waiting > int(length_max):
                return refusal("429")
        return None

    def _refuse(self, http_request: HttpRequest, plan: Plan, response: HttpResponse) -> HttpResponse:
        self._record(http_request, plan, f"refused {response.status}")
        return response

    def _accept(self, http_request: HttpRequest, plan: Plan) -> HttpResponse:
        # The new name of the header takes precedence over the old one (docs/fal.md).
        headers = http_request.headers
        timeout = headers.get("x-fal-request-start-timeout") or headers.get("x-fal-request-timeout", "")
        timeout_seconds: float | None
        try:
            timeout_seconds = float(timeout)
        except ValueError:
            timeout_seconds = None
        submission = Submission(
            endpoint=_endpoint(http_request),
            inputs=_inputs(http_request),
            webhook_url=http_request.query.get("fal_webhook"),
            plan=plan,
            start_timeout_seconds=timeout_seconds,
        )
        # Counted before this POST is recorded: `x2` applies while fewer than two are in the log.
        earlier = self._log.count_posts(_body_hash(http_request.body))
        # Under one lock, so that no reader sees the request without its POST.
        with self._log.locked():
            request = self._queue.accept(submission)
            self._record(http_request, plan, "accepted", request.request_id)
        if plan.has("callback", "early"):
            # In this thread, so that the callback has been answered when the client gets its response.
            self._queue.finish(request.request_id)
            completed = self._log.request(request.request_id)
            if completed is not None and completed.webhook_url is not None:
                self._callbacks.send_now(completed)
        url = self._job_url(request)
        body = {
            "status": "IN_QUEUE",
            "request_id": request.request_id,
            "gateway_request_id": request.gateway_request_id,
            "response_url": url,
            "status_url": f"{url}/status",
            "cancel_url": f"{url}/cancel",
            "queue_position": request.ahead,
        }
        response = json_response(body, headers={"x-fal-request-id": request.request_id})
        other = self._other_request(request, plan)
        return spoil_acceptance(
            response,
            plan.after(earlier),
            base_url=self._base_url,
            wrong_url=self._canary_url,
            other_job_url=self._job_url(other or request),
        )

    def _other_request(self, request: Request, plan: Plan) -> Request | None:
        """Return the earlier request that the response names by mistake, if the plan contains such a mistake."""
        if plan.has("garbage200", "other_request"):
            recent = self._log.recent(2)
        elif plan.has("garbage200", "same_request_id"):
            # One that the client knows: it has acknowledged the callback, and that lies at the same host.
            recent = [each for each in self._log.recent(RECENT_MAX) if each.callback == "acknowledged"]
            recent = [each for each in recent if _host(each.webhook_url) == _host(request.webhook_url)]
        else:
            recent = []
        return next((each for each in recent if each.request_id != request.request_id), None)

    def _job_url(self, request: Request) -> str:
        return f"{self._base_url}/{request.app}/requests/{request.request_id}"

    def _record(self, http_request: HttpRequest, plan: Plan, outcome: str, request_id: str | None = None) -> None:
        self._log.add(
            Post(
                at=time.time(),
                endpoint=_endpoint(http_request),
                outcome=outcome,
                request_id=request_id,
                headers=dict(http_request.headers),
                query=dict(http_request.query),
                body=http_request.body,
                body_sha256=_body_hash(http_request.body),
                scenarios=str(plan),
            )
        )


def _host(webhook_url: str | None) -> str:
    return urlsplit(webhook_url or "").netloc


def _endpoint(http_request: HttpRequest) -> str:
    return http_request.path.strip("/")


def _inputs(http_request: HttpRequest) -> Any:
    """Return the body as JSON, or None if it is not JSON."""
    try:
        return http_request.json()
    except (ValueError, RecursionError):
        return None


def _body_hash(body: bytes) -> str:
    """Return the SHA-256 of a body, by which a repeated submission is recognised.

    Seeds and the query strings of URLs are left out: they may be drawn and signed again for each attempt.
    """
    without_seeds = re.sub(rb'"\w*seed":\s*\d+', b"", body)
    return hashlib.sha256(re.sub(rb'(https?://[^\s"?]+)\?[^\s"]*', rb"\1", without_seeds)).hexdigest()
