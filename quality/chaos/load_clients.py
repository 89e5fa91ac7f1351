"""Clients that order over HTTP as real ones do: they repeat unanswered requests, double them, and cancel.

Each client runs in a thread and remembers what the API has answered. An answer that contradicts an earlier one is a
violation (I10), and so is an order that is placed twice under one idempotency key (A7, A8, A9).
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from uuid import uuid4

from quality.chaos.counters import Counters
from quality.chaos.fault_plan import FaultPlan

# No client has more unfinished generations than this, so the load adapts to the speed of the machine.
UNFINISHED_MAX = 12
TRIES_MAX = 60
PAUSE_SECONDS = 0.3
FINAL_STATUSES = ("completed", "failed")
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
        """Repeat a request with the same idempotency key until its answer is final, or `stop` is set."""
        for attempt in range(TRIES_MAX):
            if stop.is_set() and attempt:
                return None
            answer = self.call(method, path, body, idempotency_key)
            if answer is not None and answer.status not in TEMPORARY_STATUSES:
                return answer
            stop.wait(PAUSE_SECONDS)
        return None


class OrderLimit:
    """The number of orders that all clients together may still place."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0


@dataclass
class LoadClient:
    """One thread that orders and polls."""

    name: str
    api: ApiClient
    plan: FaultPlan
    counters: Counters
    rng: random.Random
    stop: threading.Event
    order_limit: OrderLimit
    unfinished: list[str] = field(default_factory=list)
    """Ids of the generations that have not been seen to end."""
    finished: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The final state of each finished generation, as the API showed it first."""
    versions: dict[str, int] = field(default_factory=dict)
    """The highest version that was shown of each generation."""
    finished_request_ids: list[str] = field(default_factory=list)
    """fal's request ids of finished generations, for the replayer."""
    output_ids: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Place orders and poll them until the load phase ends."""
        while not self.stop.is_set():
            if len(self.unfinished) < UNFINISHED_MAX and self.order_limit.take():
                self.place_order()
            elif not self.unfinished:
                # The limit is reached, and nothing is left to poll.
                return
            self._poll_next()

    def finish(self, deadline: float) -> None:
        """Poll until everything has ended. `deadline` is a time of the monotonic clock."""
        while self.unfinished and time.monotonic() < deadline:
            self._poll_next()
            time.sleep(0.02)
        for generation_id in self.unfinished:
            self.counters.add_violation("I11", f"{self.name} still waits for {generation_id}")

    def poll_finished(self, count: int) -> None:
        """Poll some finished generations again: their final state must not have changed."""
        for generation_id in self.rng.sample(sorted(self.finished), min(count, len(self.finished))):
            self._observe(self.api.call("GET", f"generations/{generation_id}/"))

    def place_order(self) -> None:
        """Place one order, and do with it what the plan draws: repeat it, reuse its key, cancel it."""
        key, body = str(uuid4()), self._order_body()
        if self._behaves("concurrent repeat"):
            # Two requests with one key at the same time: both must be answered with the same generation.
            with ThreadPoolExecutor(1) as pool:
                repeated = pool.submit(self.api.call_until_final, "POST", "generations/", body, key, self.stop)
                first = self._place("generations/", body, key)
                self._compare_repeated(first, repeated.result(), key)
        else:
            first = self._place("generations/", body, key)
        if first is None:
            return
        if self._behaves("repeat"):
            self._compare_repeated(first, self._place("generations/", body, key), key)
        if self._behaves("key reuse"):
            answer = self.api.call_until_final("POST", "generations/", self._order_body(), key, self.stop)
            if answer is not None and answer.status != 422:
                self.counters.add_violation("A8", f"another order under key {key} was answered {answer.status}")
        if self._behaves("cancel"):
            self._observe(self.api.call("POST", f"generations/{first.id}/cancel/"))

    def _order_body(self) -> dict[str, Any]:
        # The prompt carries the scenarios that the simulator plays for this order.
        prompt = f"a fox for {self.name} {uuid4()} {self.plan.draw_scenarios(self.rng)}"
        if self._behaves("identical prompt"):
            scenario = self.rng.choice(("drop_after_accept", "callback:double", "slow:1"))
            prompt = f"the same fox again [{scenario}]"
        if self.output_ids and self._behaves("edit"):
            # The input image gets another signed URL with each attempt, so fal's record shows other arguments.
            image = {"output": self.rng.choice(self.output_ids)}
            edit = {"prompt": prompt, "image_urls": [image], "image_size": {"width": 512, "height": 512}}
            return {"model": "flux-2-edit", "input": edit}
        size = {"width": 256, "height": 256}
        inputs = {"prompt": prompt, "image_size": size, "num_images": self.rng.choice((1, 1, 1, 2, 4))}
        return {"model": "flux-schnell", "input": inputs}

    def _place(self, path: str, body: Any, key: str) -> Answer | None:
        answer = self.api.call_until_final("POST", path, body, key, self.stop)
        if answer is None:
            return None
        if answer.status not in (200, 202):
            # 409: the first request with this key is still being answered.
            if answer.status != 409:
                detail = f"an order was answered {answer.status}: {answer.body.get('code')}"
                self.counters.add_violation("A7", detail)
            return None
        if answer.id not in self.versions:
            self.counters.count_event("orders")
            self.unfinished.append(answer.id)
        self._observe(answer)
        return answer

    def _compare_repeated(self, first: Answer | None, second: Answer | None, key: str) -> None:
        if first and second and (second.status not in (200, 202) or first.id != second.id):
            self.counters.add_violation("A7", f"key {key} ordered {first.id} and then {second.status} {second.id}")

    def _poll_next(self) -> None:
        if not self.unfinished:
            return
        # The polled generation goes to the end of the list, so all are polled in turn.
        generation_id = self.unfinished.pop(0)
        self.unfinished.append(generation_id)
        answer = self.api.call("GET", f"generations/{generation_id}/")
        self._observe(answer)
        if answer is None:
            time.sleep(PAUSE_SECONDS)
        if generation_id in self.finished and not self.stop.is_set() and self._behaves("retry"):
            self._place(f"generations/{generation_id}/retry/", {}, str(uuid4()))

    def _observe(self, answer: Answer | None) -> None:
        """Compare what the API shows of a generation with what it showed before."""
        if answer is None or not answer.id:
            return
        # Each change raises the version by one, so a lower version is an older state.
        before, version = self.versions.get(answer.id, 0), int(answer.body["version"])
        self.versions[answer.id] = max(before, version)
        if version < before:
            self.counters.add_violation("I10", f"{answer.id} went back from version {before} to {version}")
        if answer.id in self.finished:
            known, shown = self.finished[answer.id], _final_state(answer.body)
            if known != shown:
                self.counters.add_violation("I10", f"{answer.id} was {known} and is {shown}")
        elif answer.body["status"] in FINAL_STATUSES:
            self.finished[answer.id] = _final_state(answer.body)
            self.counters.count_event(f"seen {answer.body['status']}")
            self.output_ids += [output["id"] for output in answer.body.get("outputs", [])]
            # The answer to an order can show the end already.
            if answer.id in self.unfinished:
                self.unfinished.remove(answer.id)
            if answer.body.get("fal_request_id"):
                self.finished_request_ids.append(str(answer.body["fal_request_id"]))

    def _behaves(self, behaviour: str) -> bool:
        """Draw whether this client shows the behaviour now, and count it."""
        behaves = self.plan.draws_behaviour(behaviour, self.rng)
        if behaves:
            self.counters.count_fault(behaviour)
        return behaves


def _final_state(body: Mapping[str, Any]) -> dict[str, Any]:
    outputs = [(output["index"], output["size"], output["sha256"]) for output in body.get("outputs", [])]
    return {"status": body["status"], "version": body["version"], "outputs": outputs, "error": body.get("error")}
