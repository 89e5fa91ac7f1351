"""Answers a submit: `POST /{endpoint}?fal_webhook=…`, well or badly."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from generations.catalogue import find_by_endpoint
from simulator.callback_sender import Courier
from simulator.error_types import LOCKED
from simulator.http_messages import Call, Manner, Reply, as_json, drip, drop, hang, plainly, reset
from simulator.job_queue import Order, Queue
from simulator.log import Log
from simulator.records import Post, Request
from simulator.scenario_queue import Stage
from simulator.scenarios import Plan, Scenario, UnknownScenario, found_in, read
from simulator.signing import Identity

SCENARIO_HEADER = "x-simulator-scenario"
NGINX = (
    b"<html>\r\n<head><title>%(title)s</title></head>\r\n<body>\r\n<center><h1>%(title)s</h1></center>\r\n"
    b"<hr><center>nginx/1.27.4</center>\r\n</body>\r\n</html>\r\n"
)
NGINX_TITLES = {502: b"502 Bad Gateway", 503: b"503 Service Temporarily Unavailable", 504: b"504 Gateway Time-out"}
BIG_BYTES = 10_000_000

DETAILS: Mapping[int, str] = {
    400: "Bad request",
    401: "invalid key credentials",
    402: "Payment required",
    403: LOCKED,
    404: "Application not found",
    408: "Request timeout",
    409: "Conflict",
    425: "Too early",
    429: "Too many requests",
    500: "Internal server error",
    502: "Bad gateway",
    503: "Service unavailable",
    504: "Gateway timeout",
}
# Nothing has been accepted when one of these happens.
BEFORE_ACCEPT: Mapping[str, tuple[str, Manner]] = {"drop_before_accept": ("dropped", drop), "reset": ("reset", reset)}
AFTER_ACCEPT: Mapping[str, Manner] = {"drop_after_accept": drop, "hang_after_accept": hang, "drip": drip}


class Submitting:
    """Reads an order, decides whether fal takes it, and what the client hears."""

    def __init__(
        self,
        *,
        log: Log,
        queue: Queue,
        courier: Courier,
        identity: Identity,
        stage: Stage,
        stopping: threading.Event,
        base_url: str,
        canary_url: str,
        speed: float,
    ) -> None:
        self._log = log
        self._queue = queue
        self._courier = courier
        self._identity = identity
        self._stage = stage
        self._stopping = stopping
        self._base_url = base_url
        self._canary_url = canary_url
        self._speed = speed
        self._resets = 0

    def answer(self, call: Call) -> Reply:
        try:
            plan = self._plan(call)
        except UnknownScenario as error:
            return self._refused(call, Plan(), as_json({"detail": str(error)}, 400))
        if (fault := self._fault_before_accept(call, plan)) is not None:
            return fault
        if plan.has("slow_accept") and self._forgotten_while_waiting(plan.number("slow_accept", 0)):
            return Reply(manner=drop)
        if (refusal := self._refusal(call)) is not None:
            return self._refused(call, plan, refusal)
        return self._accept(call, plan)

    def forget(self) -> None:
        self._resets += 1

    def _forgotten_while_waiting(self, seconds: float) -> bool:
        """Whether a reset came meanwhile: then this order belongs to a test that is over."""
        resets = self._resets
        self._stopping.wait(seconds / self._speed)
        return resets != self._resets

    def _plan(self, call: Call) -> Plan:
        asked_for = read(call.headers.get(SCENARIO_HEADER, ""))
        return asked_for + self._stage.take() + found_in(_inputs(call))

    def _fault_before_accept(self, call: Call, plan: Plan) -> Reply | None:
        earlier = self._log.posts_of_body(_identity(call.body))
        for scenario in plan.scenarios:
            if not scenario.lasts(earlier):
                continue
            if scenario.word in BEFORE_ACCEPT:
                outcome, manner = BEFORE_ACCEPT[scenario.word]
                self._note(call, plan, outcome)
                return Reply(manner=manner)
            if scenario.word == "status":
                return self._refused(call, plan, refusal(scenario.choice))
            if scenario.word == "redirect":
                return self._refused(call, plan, self._redirect(call, scenario))
        return None

    def _redirect(self, call: Call, scenario: Scenario) -> Reply:
        target = f"http://{scenario.choice}" if scenario.choice else self._canary_url
        return Reply(status=307, headers={"Location": f"{target}{call.path}"})

    def _refusal(self, call: Call) -> Reply | None:
        """What an honest fal has to object."""
        if call.headers.get("authorization") != f"Key {self._identity.fal_key}":
            return refusal("401")
        if find_by_endpoint(_endpoint(call)) is None:
            return as_json({"detail": f"Application '{_endpoint(call)}' not found"}, 404)
        if not isinstance(_inputs(call), dict):
            entry = {"loc": ["body"], "msg": "The body must be a JSON object", "type": "json_invalid"}
            return as_json({"detail": [entry]}, 422)
        longest = call.query.get("fal_max_queue_length", "")
        if longest.isdigit() and self._waiting() > int(longest):
            return refusal("429")
        return None

    def _waiting(self) -> int:
        return sum(request.state == "IN_QUEUE" for request in self._log.unfinished())

    def _refused(self, call: Call, plan: Plan, reply: Reply) -> Reply:
        self._note(call, plan, f"refused {reply.status}")
        return reply

    def _accept(self, call: Call, plan: Plan) -> Reply:
        order = Order(
            endpoint=_endpoint(call),
            inputs=_inputs(call),
            webhook_url=call.query.get("fal_webhook"),
            plan=plan,
            start_timeout_seconds=_start_timeout(call),
        )
        earlier = self._log.posts_of_body(_identity(call.body))
        with self._log.together():
            request = self._queue.accept(order)
            self._note(call, plan, "accepted", request.request_id)
        if plan.has("callback", "early"):
            self._call_back_early(request)
        lasting = Plan(tuple(s for s in plan.scenarios if s.lasts(earlier)))
        return self._accepted(request, lasting)

    def _call_back_early(self, request: Request) -> None:
        self._queue.finish(request.request_id)
        done = self._log.request(request.request_id)
        if done is not None and done.webhook_url is not None:
            self._courier.deliver_now(done)

    def _accepted(self, request: Request, plan: Plan) -> Reply:
        reply = self._truth(request)
        if (garbage := plan.get("garbage200")) is not None:
            reply = self._garbage(garbage.choice, reply)
        manners = [AFTER_ACCEPT[s.word] for s in plan.scenarios if s.word in AFTER_ACCEPT]
        return replace(reply, manner=manners[0] if manners else plainly)

    def _truth(self, request: Request) -> Reply:
        address = f"{self._base_url}/{request.app}/requests/{request.request_id}"
        body = {
            "status": "IN_QUEUE",
            "request_id": request.request_id,
            "gateway_request_id": request.gateway_request_id,
            "response_url": address,
            "status_url": f"{address}/status",
            "cancel_url": f"{address}/cancel",
            "queue_position": request.ahead,
        }
        return as_json(body, headers={"x-fal-request-id": request.request_id})

    def _garbage(self, choice: str, truth: Reply) -> Reply:
        body: dict[str, Any] = json.loads(truth.body)
        if choice == "json":
            return Reply(headers={"Content-Type": "application/json"}, body=truth.body[: len(truth.body) // 2])
        if choice == "html":
            return Reply(headers={"Content-Type": "text/html"}, body=b"<!doctype html><h1>Welcome to fal</h1>")
        if choice == "no_request_id":
            del body["request_id"]
            return as_json(body)
        if choice == "big":
            return as_json({**body, "padding": "0" * BIG_BYTES})
        elsewhere = {name: str(body[name]).replace(self._base_url, self._canary_url) for name in body if "url" in name}
        return as_json({**body, **elsewhere})

    def _note(self, call: Call, plan: Plan, outcome: str, request_id: str | None = None) -> None:
        self._log.add(
            Post(
                at=time.time(),
                endpoint=_endpoint(call),
                outcome=outcome,
                request_id=request_id,
                headers=dict(call.headers),
                query=dict(call.query),
                body=call.body,
                body_sha256=_identity(call.body),
                scenarios=str(plan),
            )
        )


def refusal(choice: str) -> Reply:
    """A refusal of the table: `503`, `503-bare`, `503-nginx`, `429-retry-after`."""
    code, _, manner = choice.partition("-")
    status = int(code)
    if manner == "nginx" or choice == "502":
        return Reply(
            status=status, headers={"Content-Type": "text/html"}, body=NGINX % {b"title": NGINX_TITLES[status]}
        )
    headers = {"Retry-After": "1"} if manner == "retry-after" else {}
    if status >= 500 and manner != "bare":
        headers["x-fal-request-id"] = _sha256(str(time.time_ns()).encode())[:32]
    if status == 422:
        entry = {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}
        return as_json({"detail": [entry]}, 422)
    return as_json({"detail": DETAILS[status]}, status, headers)


def _endpoint(call: Call) -> str:
    return call.path.strip("/")


def _inputs(call: Call) -> Any:
    try:
        return call.json()
    except (ValueError, RecursionError):
        return None


def _start_timeout(call: Call) -> float | None:
    """The new name of the header wins over the old one (fal-facts.md §2.3)."""
    text = call.headers.get("x-fal-request-start-timeout") or call.headers.get("x-fal-request-timeout", "")
    try:
        return float(text)
    except ValueError:
        return None


def _identity(body: bytes) -> str:
    """What two bodies share that want the same. Files may be signed anew for each: the queries of addresses are left
    out."""
    return _sha256(re.sub(rb'(https?://[^\s"?]+)\?[^\s"]*', rb"\1", body))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
