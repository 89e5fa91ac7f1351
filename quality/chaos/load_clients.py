"""Clients that order over HTTP as real ones do: they repeat unanswered requests, double them, cancel and erase.

Each client runs in a thread and remembers what the API has answered. An answer that contradicts an earlier one is a
violation (I10), and so is an order that is placed twice under one idempotency key (A7, A8, A9).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from quality.chaos.api_client import PAUSE_SECONDS, TEMPORARY_STATUSES, Answer, ApiClient
from quality.chaos.counters import Counters
from quality.chaos.fault_plan import FaultPlan
from quality.chaos.gate import Gate
from quality.chaos.losses import Content
from quality.chaos.order_bodies import Body, OrderBodies

# No client has more unfinished generations than this, so the load adapts to the speed of the machine.
UNFINISHED_MAX = 12
RECENT_MAX = 10
FINAL_STATUSES = ("completed", "failed")


class OrderLimit:
    """The number of generations that all clients together may still order."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def take(self, count: int = 1) -> bool:
        """Take one, or as many as a batch has. The last batch may exceed the limit."""
        with self._lock:
            had_some = self._left > 0
            self._left -= count
            return had_some


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
    gate: Gate
    account_id: int
    is_rich: bool = True
    """Whether its account can pay for batches and 3D models."""
    unfinished: list[str] = field(default_factory=list)
    """Ids of the generations that have not been seen to end."""
    finished: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The final state of each finished generation, as the API showed it first."""
    versions: dict[str, int] = field(default_factory=dict)
    """The highest version that was shown of each generation."""
    finished_request_ids: dict[str, str] = field(default_factory=dict)
    """fal's request id of finished generations, for the replayer."""
    images: dict[str, str] = field(default_factory=dict)
    """The generation of each image that can be edited, by the id of the output."""
    erased: set[str] = field(default_factory=set)
    orders_without_answer: int = 0
    """How many generations may exist that this client was never told of: the connection broke."""

    def __post_init__(self) -> None:
        self._bodies = OrderBodies(self.name, self.plan, self.rng, self._behaves, is_rich=self.is_rich)
        self._lock = threading.Lock()

    def run(self) -> None:
        """Place orders and poll them until the load phase ends."""
        while not self.stop.is_set():
            with self.gate.step():
                if len(self.unfinished) < UNFINISHED_MAX and self.order_limit.take():
                    self._act()
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

    def forget_lost(self, restored: Content) -> None:
        """Forget what a restore of the database has undone. Called while the gate is closed."""
        known = self.versions.keys() & restored.versions.keys()
        self.versions = {pk: restored.versions[pk] for pk in known}
        still_finished = {pk for pk, shown in self.finished.items() if self.versions.get(pk) == shown["version"]}
        self.finished = {pk: shown for pk, shown in self.finished.items() if pk in still_finished}
        # What had ended may be in progress again.
        self.unfinished = [pk for pk in known if pk not in still_finished]
        self.finished_request_ids = {pk: name for pk, name in self.finished_request_ids.items() if pk in still_finished}
        self.images = {pk: generation for pk, generation in self.images.items() if pk in restored.outputs}
        self.erased &= known - set(self.unfinished)

    def _act(self) -> None:
        """Order something, or do with an earlier generation what the plan draws."""
        if self.is_rich and self._behaves("batch"):
            self.place_batch()
        elif self._behaves("two identical orders"):
            body = self._bodies.draw_identical_pair()
            # Each has a key of its own, so both are wanted.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(self._place, "generations/", body, str(uuid4()))
                self._place("generations/", body, str(uuid4()))
        elif self._behaves("no idempotency key"):
            self._place_without_key("generations/", self._draw_body())
        elif self.finished and self._behaves("erase"):
            self.erase()
        else:
            self.place_order()

    def place_order(self) -> None:
        """Place one order, and do with it what the plan draws: repeat it, reuse its key, cancel it."""
        key, body = str(uuid4()), self._draw_body()
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
            answer = self.api.call_until_final("POST", "generations/", self._draw_body(), key, self.stop)
            if answer is not None and answer.status not in (422, *TEMPORARY_STATUSES):
                self.counters.add_violation("A8", f"another order under key {key} was answered {answer.status}")
        if self._behaves("cancel"):
            self._observe(self.api.call("POST", f"generations/{first.id}/cancel/"))

    def place_batch(self) -> None:
        """Order many generations at once: all of them, or none."""
        body = self._bodies.draw_batch()
        count = len(body["inputs"])
        self.order_limit.take(count - 1)
        answer = self.api.call_until_final("POST", "batches/", body, str(uuid4()), self.stop)
        if answer is None or answer.status not in (200, 202):
            self._count_unanswered(answer, "a batch", count)
            return
        generations = answer.body["generations"]
        if len(generations) != count:
            self.counters.add_violation("A7", f"a batch of {count} has {len(generations)} generations")
        for shown in generations:
            self._begin(Answer(status=answer.status, body=shown))

    def erase(self) -> None:
        """Erase a finished generation. In some cases an order for one of its images comes at the same time."""
        # One of the latest: a worker that has slept since may still be about to store its file.
        generation_id = self.rng.choice(list(self.finished)[-RECENT_MAX:])
        image = next((pk for pk, generation in self.images.items() if generation == generation_id), None)
        if image is not None and self.rng.random() < 0.3:
            # Either the order comes first and the erasure is refused, or the other way round.
            order = self._bodies.draw([image])
            with ThreadPoolExecutor(1) as pool:
                placed = pool.submit(self._place, "generations/", order, str(uuid4()), (404, 409, 422))
                self._erase(generation_id)
                placed.result()
        else:
            self._erase(generation_id)

    def _erase(self, generation_id: str) -> None:
        answer = self.api.call_until_final("DELETE", f"generations/{generation_id}/", None, "", self.stop)
        if answer is not None and answer.status in (409, *TEMPORARY_STATUSES):
            # A generation in progress uses one of its files, or the database is unavailable.
            return
        if answer is not None and answer.status not in (200, 202):
            self.counters.add_violation("A7", f"an erasure was answered {answer.status}: {answer.body.get('code')}")
            return
        # Without an answer it may have been erased: from here on it is no longer compared.
        self.erased.add(generation_id)
        del self.finished[generation_id]
        self.finished_request_ids.pop(generation_id, None)
        self.images = {pk: generation for pk, generation in self.images.items() if generation != generation_id}

    def _draw_body(self) -> Body:
        return self._bodies.draw(list(self.images))

    def _place(self, path: str, body: Any, key: str, refusals: tuple[int, ...] = (409,)) -> Answer | None:
        """Place an order under a key until it is answered. Returns the answer if it was accepted.

        Args:
            refusals: Statuses that are no violation. 409: the first request with this key is still being answered.
        """
        answer = self.api.call_until_final("POST", path, body, key, self.stop)
        if answer is None or answer.status not in (200, 202):
            if answer is None or answer.status not in refusals:
                self._count_unanswered(answer, "an order", 1)
            return None
        self._begin(answer)
        return answer

    def _place_without_key(self, path: str, body: Any) -> None:
        """Place an order once. Without a key, a client cannot repeat it after an error."""
        answer = self.api.call("POST", path, body)
        if answer is not None and answer.status in (200, 202):
            self._begin(answer)
        elif answer is None or answer.status != 409:
            self._count_unanswered(answer, "an order without a key", 1)

    def _begin(self, answer: Answer) -> None:
        """Follow a generation from its first answer on."""
        with self._lock:
            if answer.id not in self.versions:
                self.counters.count_event("orders")
                self.unfinished.append(answer.id)
            self._observe(answer)

    def _count_unanswered(self, answer: Answer | None, what: str, count: int) -> None:
        if answer is None:
            self.orders_without_answer += count
        elif answer.status not in TEMPORARY_STATUSES:
            detail = f"{what} was answered {answer.status}: {answer.body.get('code')}"
            self.counters.add_violation("A7", detail)

    def _compare_repeated(self, first: Answer | None, second: Answer | None, key: str) -> None:
        if first is None or second is None or second.status in TEMPORARY_STATUSES:
            return
        if second.status not in (200, 202) or first.id != second.id:
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
        elif answer.body["status"] in FINAL_STATUSES and answer.id not in self.erased:
            self.finished[answer.id] = _final_state(answer.body)
            self.counters.count_event(f"seen {answer.body['status']}")
            images = [output["id"] for output in answer.body.get("outputs", []) if output["kind"] == "image"]
            self.images |= dict.fromkeys(images, answer.id)
            # The answer to an order can show the end already.
            if answer.id in self.unfinished:
                self.unfinished.remove(answer.id)
            if answer.body.get("fal_request_id"):
                self.finished_request_ids[answer.id] = str(answer.body["fal_request_id"])

    def _behaves(self, behaviour: str) -> bool:
        """Draw whether this client shows the behaviour now, and count it."""
        behaves = self.plan.draws_behaviour(behaviour, self.rng)
        if behaves:
            self.counters.count_fault(behaviour)
        return behaves


def _final_state(body: Mapping[str, Any]) -> dict[str, Any]:
    outputs = [(output["index"], output["size"], output["sha256"]) for output in body.get("outputs", [])]
    return {"status": body["status"], "version": body["version"], "outputs": outputs, "error": body.get("error")}
