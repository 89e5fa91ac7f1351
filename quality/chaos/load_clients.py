"""Clients that order over HTTP as real ones do: they repeat unanswered requests, double them, cancel and erase.

Each client runs in a thread. An order that is placed twice under one idempotency key, or by a double click, is a
violation (A7, A8, A9). What the API shows of a generation is compared by `known_generations`.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from quality.chaos.api_client import PAUSE_SECONDS, TEMPORARY_STATUSES, Answer, ApiClient
from quality.chaos.counters import Counters
from quality.chaos.fault_plan import FaultPlan
from quality.chaos.gate import Gate
from quality.chaos.known_generations import KnownGenerations
from quality.chaos.order_bodies import Body, OrderBodies

# No client has more unfinished generations than this, so the load adapts to the speed of the machine.
UNFINISHED_MAX = 12
RECENT_MAX = 10
POLL_PAUSE_SECONDS = 0.1


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

    @property
    def is_reached(self) -> bool:
        """Whether nothing may be ordered any more."""
        with self._lock:
            return self._left <= 0


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
    known: KnownGenerations = field(init=False)
    """What it was told of each generation."""
    orders_without_answer: int = 0
    """How many generations may exist that this client was never told of: the connection broke."""

    def __post_init__(self) -> None:
        self.known = KnownGenerations(self.counters)
        self._bodies = OrderBodies(self.name, self.plan, self.rng, self._behaves, is_rich=self.is_rich)
        self._lock = threading.Lock()

    def run(self) -> None:
        """Place orders and poll them until the load phase ends."""
        while not self.stop.is_set():
            with self.gate.step():
                acts = len(self.known.unfinished) < UNFINISHED_MAX and self.order_limit.take()
                if acts:
                    self._act()
                elif self.order_limit.is_reached:
                    # `finish` polls what is left: some orders end at their deadline only.
                    return
                self._poll_next()
            # A client that only polls would take the time of the processors from Limn.
            if not acts:
                self.stop.wait(POLL_PAUSE_SECONDS)

    def finish(self, deadline: float) -> None:
        """Poll until everything has ended. `deadline` is a time of the monotonic clock."""
        while self.known.unfinished and time.monotonic() < deadline:
            self._poll_next()
            time.sleep(0.02)
        for generation_id in self.known.unfinished:
            self.counters.add_violation("I11", f"{self.name} still waits for {generation_id}")

    def poll_finished(self, count: int) -> None:
        """Poll some finished generations again: their final state must not have changed."""
        for generation_id in self.rng.sample(sorted(self.known.finished), min(count, len(self.known.finished))):
            self.known.observe(self.api.call("GET", f"generations/{generation_id}/"))

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
        elif self.known.finished and self._behaves("erase"):
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
            self.known.observe(self.api.call("POST", f"generations/{first.id}/cancel/"))

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
        generation_id = self.rng.choice(list(self.known.finished)[-RECENT_MAX:])
        image = next((pk for pk, generation in self.known.images.items() if generation == generation_id), None)
        if image is not None and self.rng.random() < 0.3:
            # Either the order comes first and the erasure is refused, or the other way round.
            order = self._bodies.draw([image])
            with ThreadPoolExecutor(1) as pool:
                placed = pool.submit(self._place, "generations/", order, str(uuid4()), (404, 409, 422))
                self._erase(generation_id)
                placed.result()
        else:
            self._erase(generation_id)

    def retry_twice(self, generation_id: str) -> None:
        """Repeat an order by two clicks at the same time: one new order at most."""
        path, body = self._repetition(generation_id)
        with ThreadPoolExecutor(1) as pool:
            # Without a key, as a page or a careless program does it.
            other = pool.submit(self._place_without_key, path, body)
            answers = [self._place_without_key(path, body), other.result()]
        placed = {answer.id for answer in answers if answer is not None}
        if len(placed) > 1:
            self.counters.add_violation("A7", f"two clicks on {path} ordered {' and '.join(sorted(placed))}")

    def _repetition(self, generation_id: str) -> tuple[str, Body]:
        """Return the path and the body that order the same as a finished generation once more."""
        if self.known.finished[generation_id]["status"] == "failed":
            return f"generations/{generation_id}/retry/", {}
        path = f"generations/{generation_id}/again/"
        quoted = self.api.call("GET", path)
        return path, {"credits": quoted.body.get("credits", 0) if quoted is not None else 0}

    def _erase(self, generation_id: str) -> None:
        answer = self.api.call_until_final("DELETE", f"generations/{generation_id}/", None, "", self.stop)
        if answer is not None and answer.status in (409, *TEMPORARY_STATUSES):
            # A generation in progress uses one of its files, or the database is unavailable.
            return
        if answer is not None and answer.status not in (200, 202):
            self.counters.add_violation("A7", f"an erasure was answered {answer.status}: {answer.body.get('code')}")
            return
        # Without an answer it may have been erased: from here on it is no longer compared.
        self.known.forget_erased(generation_id)

    def _draw_body(self) -> Body:
        return self._bodies.draw(list(self.known.images))

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

    def _place_without_key(self, path: str, body: Any) -> Answer | None:
        """Place an order once. Without a key, a client cannot repeat it after an error.

        Returns the answer if the order was accepted.
        """
        answer = self.api.call("POST", path, body)
        if answer is not None and answer.status in (200, 202):
            self._begin(answer)
            return answer
        # 409: the same was ordered a moment ago. The others: what a repeated order worked on has been erased.
        if answer is None or answer.status not in (404, 409, 422):
            self._count_unanswered(answer, "an order without a key", 1)
        return None

    def _begin(self, answer: Answer) -> None:
        """Follow a generation from its first answer on."""
        with self._lock:
            if answer.id not in self.known.versions:
                self.counters.count_event("orders")
                self.known.unfinished.append(answer.id)
            self.known.observe(answer)

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
        if not self.known.unfinished:
            return
        # The polled generation goes to the end of the list, so all are polled in turn.
        generation_id = self.known.unfinished.pop(0)
        self.known.unfinished.append(generation_id)
        answer = self.api.call("GET", f"generations/{generation_id}/")
        self.known.observe(answer)
        if answer is None:
            time.sleep(PAUSE_SECONDS)
        if generation_id in self.known.finished and not self.stop.is_set():
            if self._behaves("retry"):
                # What it worked on may have been erased meanwhile.
                self._place(*self._repetition(generation_id), str(uuid4()), (404, 409, 422))
            elif self._behaves("double retry"):
                self.retry_twice(generation_id)

    def _behaves(self, behaviour: str) -> bool:
        """Draw whether this client shows the behaviour now, and count it."""
        behaves = self.plan.draws_behaviour(behaviour, self.rng)
        if behaves:
            self.counters.count_fault(behaviour)
        return behaves
