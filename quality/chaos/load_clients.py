"""Customers that order over HTTP as real ones do: again when no answer comes, twice at once, and never patient.

Each remembers what it was told, and a memory that the next answer contradicts is a violation (I10, A7–A9).
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

from quality.chaos.counters import Tally
from quality.chaos.fault_plan import Swarm

# No client has more than this under way: so the load follows what the machine manages.
OPEN_MAX = 12
TRIES_MAX = 60
PAUSE_SECONDS = 0.3
ENDED = ("completed", "failed")
# What an honest client may hear while things break: 402 and 503 pass, the rest would be our fault.
PASSING = (402, 503)


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.body.get("id", ""))


@dataclass
class Api:
    """One customer's key to Limn's API."""

    port: int
    token: str
    tally: Tally

    def call(self, method: str, path: str, body: Any = None, key: str = "") -> Answer | None:
        """The answer, or None when there was none: the connection broke, or the server is not there."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=25)
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        headers |= {"Idempotency-Key": key} if key else {}
        try:
            connection.request(method, f"/api/v1/{path}", json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            answer = Answer(status=response.status, body=_read(response.read()))
        except (OSError, HTTPException):
            self.tally.count("no answer")
            return None
        finally:
            connection.close()
        self.tally.count(f"answered {answer.status}")
        if answer.status >= 500 and answer.status != 503:
            self.tally.violated("I16", f"{method} {path} was answered {answer.status}")
        return answer

    def insist(self, method: str, path: str, body: Any, key: str, give_up: threading.Event) -> Answer | None:
        """The same request with the same key, until it is answered for good."""
        for attempt in range(TRIES_MAX):
            if give_up.is_set() and attempt:
                return None
            answer = self.call(method, path, body, key)
            if answer is not None and answer.status not in PASSING:
                return answer
            give_up.wait(PAUSE_SECONDS)
        return None


@dataclass
class Customer:
    """One thread's worth of orders."""

    name: str
    api: Api
    swarm: Swarm
    tally: Tally
    chance: random.Random
    stop: threading.Event
    quota: Quota
    open: list[str] = field(default_factory=list)
    """Generations that have not been seen to end."""
    ended: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    """The newest version of each that we were shown."""
    requests_at_fal: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    """Outputs of what has ended."""

    def run(self) -> None:
        while not self.stop.is_set():
            if len(self.open) < OPEN_MAX and self.quota.take():
                self._order()
            elif not self.open:
                return
            self._look()

    def finish(self, deadline: float) -> None:
        """Look at what is open until all of it has ended."""
        while self.open and time.monotonic() < deadline:
            self._look()
            time.sleep(0.02)
        for generation_id in self.open:
            self.tally.violated("I11", f"{self.name} still waits for {generation_id}")

    def look_again(self, count: int) -> None:
        """At some that have ended: they stay as they were."""
        for generation_id in self.chance.sample(sorted(self.ended), min(count, len(self.ended))):
            self._see(self.api.call("GET", f"generations/{generation_id}/"))

    def _order(self) -> None:
        key, body = str(uuid4()), self._wish()
        twins = self.swarm.has_habit("twins", self.chance)
        first = self._place_twins(body, key) if twins else self._place("generations/", body, key)
        if first is None:
            return
        if self.swarm.has_habit("repeat", self.chance):
            self.tally.hit("repeat")
            self._same(first, self._place("generations/", body, key), key)
        if self.swarm.has_habit("other body", self.chance):
            self._reuse(key)
        if self.swarm.has_habit("cancel", self.chance):
            self.tally.hit("cancel")
            self._see(self.api.call("POST", f"generations/{first.id}/cancel/"))

    def _wish(self) -> dict[str, Any]:
        prompt = f"a fox for {self.name} {uuid4()} {self.swarm.scenarios(self.chance)}"
        if self.swarm.has_habit("same wish", self.chance):
            self.tally.hit("same wish")
            prompt = f"the same fox again [{self.chance.choice(('drop_after_accept', 'callback:double', 'slow:1'))}]"
        if self.pictures and self.swarm.has_habit("edit", self.chance):
            self.tally.hit("edit")
            return self._edit(prompt)
        size = {"width": 256, "height": 256}
        inputs = {"prompt": prompt, "image_size": size, "num_images": self.chance.choice((1, 1, 1, 2, 4))}
        return {"model": "flux-schnell", "input": inputs}

    def _edit(self, prompt: str) -> dict[str, Any]:
        """Of a picture of one's own, for which fal gets another address with each attempt."""
        picture = {"output": self.chance.choice(self.pictures)}
        inputs = {"prompt": prompt, "image_urls": [picture], "image_size": {"width": 512, "height": 512}}
        return {"model": "flux-2-edit", "input": inputs}

    def _place(self, path: str, body: Any, key: str) -> Answer | None:
        answer = self.api.insist("POST", path, body, key, self.stop)
        if answer is None or answer.status not in (200, 202):
            if answer is not None and answer.status not in (409,):
                self.tally.violated("A7", f"an order was answered {answer.status}: {answer.body.get('code')}")
            return None
        if answer.id not in self.seen:
            self.tally.count("orders")
            self.open.append(answer.id)
        self._see(answer)
        return answer

    def _place_twins(self, body: Any, key: str) -> Answer | None:
        self.tally.hit("twins")
        with ThreadPoolExecutor(1) as pool:
            twin = pool.submit(self.api.insist, "POST", "generations/", body, key, self.stop)
            first = self._place("generations/", body, key)
            self._same(first, twin.result(), key)
        return first

    def _same(self, first: Answer | None, second: Answer | None, key: str) -> None:
        if first and second and (second.status not in (200, 202) or first.id != second.id):
            self.tally.violated("A7", f"key {key} ordered {first.id} and then {second.status} {second.id}")

    def _reuse(self, key: str) -> None:
        self.tally.hit("other body")
        answer = self.api.insist("POST", "generations/", self._wish(), key, self.stop)
        if answer is not None and answer.status != 422:
            self.tally.violated("A8", f"another order under key {key} was answered {answer.status}")

    def _look(self) -> None:
        if not self.open:
            return
        generation_id = self.open.pop(0)
        self.open.append(generation_id)
        answer = self.api.call("GET", f"generations/{generation_id}/")
        self._see(answer)
        if answer is None:
            time.sleep(PAUSE_SECONDS)
        if generation_id in self.ended and self.swarm.has_habit("retry", self.chance) and not self.stop.is_set():
            self.tally.hit("retry")
            self._place(f"generations/{generation_id}/retry/", {}, str(uuid4()))

    def _see(self, answer: Answer | None) -> None:
        if answer is None or not answer.id:
            return
        before, version = self.seen.get(answer.id, 0), int(answer.body["version"])
        self.seen[answer.id] = max(before, version)
        if version < before:
            self.tally.violated("I10", f"{answer.id} went back from version {before} to {version}")
        if answer.id in self.ended:
            self._compare(answer)
        elif answer.body["status"] in ENDED:
            self._note_end(answer)

    def _note_end(self, answer: Answer) -> None:
        self.ended[answer.id] = _end_of(answer.body)
        self.tally.count(f"seen {answer.body['status']}")
        self.pictures += [output["id"] for output in answer.body.get("outputs", [])]
        if answer.id in self.open:
            self.open.remove(answer.id)
        if answer.body.get("fal_request_id"):
            self.requests_at_fal.append(str(answer.body["fal_request_id"]))

    def _compare(self, answer: Answer) -> None:
        if self.ended[answer.id] != _end_of(answer.body):
            self.tally.violated("I10", f"{answer.id} was {self.ended[answer.id]} and is {_end_of(answer.body)}")


class Quota:
    """How many orders are still wanted, of all customers together."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0


def _end_of(body: Mapping[str, Any]) -> dict[str, Any]:
    outputs = [(output["index"], output["size"], output["sha256"]) for output in body.get("outputs", [])]
    return {"status": body["status"], "version": body["version"], "outputs": outputs, "error": body.get("error")}


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
