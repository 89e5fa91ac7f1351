"""Delivers callbacks: when, how often, and until when."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from simulator.callback_faults import Letter, write
from simulator.log import Log
from simulator.records import Callback, CallbackState, Request
from simulator.retry_policies import Policy
from simulator.scenarios import read
from simulator.scheduler import Timers
from simulator.signing import Identity

# However fast the simulator runs, the receiver is a real program and needs a moment.
TIMEOUT_SECONDS_MIN = 5.0


@dataclass(frozen=True)
class Delivery:
    """A letter of this kind, so many seconds after the job is done; tried again or not."""

    after_seconds: float
    kind: str = "true"
    insists: bool = True


USUAL = (Delivery(0),)
DELIVERIES: Mapping[str, tuple[Delivery, ...]] = {
    "lost": (),
    "late": (Delivery(60),),
    "double": (Delivery(0), Delivery(0)),
    "again_late": (Delivery(0), Delivery(60)),
    # Sent by `deliver_now`, while the client still waits for the answer to its submit.
    "early": (),
    "forged": (Delivery(0, "forged", insists=False),),
    "wrong_account": (Delivery(0, "wrong_account", insists=False),),
    "mismatch": (Delivery(0, "mismatch", insists=False),),
    "stale": (Delivery(0, "stale", insists=False),),
    "garbage": (Delivery(0, "garbage", insists=False),),
    "null_payload": (Delivery(0, "null_payload"),),
    "error_null_payload": (Delivery(0, "error_null_payload"),),
    "contradictory": (Delivery(0), Delivery(1, "contradiction", insists=False)),
    # Released by the next delivery, or after this time if there is none.
    "reordered": (Delivery(30),),
}


class Courier:
    """Sends what the letters say to the address that came with the submit."""

    def __init__(self, *, log: Log, identity: Identity, timers: Timers, policy: Policy, speed: float) -> None:
        self._log = log
        self._identity = identity
        self._timers = timers
        self._policy = policy
        self._speed = speed
        self._lock = threading.Lock()
        self._held_back: dict[str, Request] = {}

    def announce(self, request: Request) -> None:
        """The job is done (or the simulator is back): send what there is to send, now or later."""
        if request.webhook_url is None or request.callback != "pending":
            return
        choices = read(request.scenarios).choices("callback")
        if "reordered" in choices:
            with self._lock:
                self._held_back[request.request_id] = request
        if "contradictory" in choices:
            # One after the other: the lie must find the truth told.
            self._timers.after(0, partial(self._begin_in_turn, request, DELIVERIES["contradictory"]))
            choices = [choice for choice in choices if choice != "contradictory"]
        elif not choices:
            self._timers.after(0, partial(self._begin, request, *USUAL))
        for delivery in [d for choice in choices for d in DELIVERIES[choice]]:
            self._timers.after(delivery.after_seconds / self._speed, partial(self._begin, request, delivery))

    def deliver_now(self, request: Request) -> None:
        """The first attempt, before anything else happens."""
        self._attempt(request, Delivery(0), attempt=1)

    def call_again(self, request_id: str, kind: str) -> None:
        """One more letter of this kind, in the caller's time. Nobody insists on it."""
        request = self._log.request(request_id)
        if request is None or request.state != "COMPLETED" or request.webhook_url is None:
            raise LookupError(f"There is no callback of {request_id} to repeat.")
        self._attempt(request, Delivery(0, kind, insists=False), attempt=request.callback_attempts + 1)

    def forget(self) -> None:
        with self._lock:
            self._held_back.clear()

    def _begin_in_turn(self, request: Request, deliveries: tuple[Delivery, ...]) -> None:
        first, *others = deliveries
        self._begin(request, first)
        if others:
            pause = others[0].after_seconds / self._speed
            self._timers.after(pause, partial(self._begin_in_turn, request, tuple(others)))

    def _begin(self, request: Request, delivery: Delivery) -> None:
        reordered = read(request.scenarios).has("callback", "reordered")
        if reordered and not self._let_go(request):
            return
        self._attempt(request, delivery, attempt=request.callback_attempts + 1)
        if not reordered:
            self._release()

    def _let_go(self, request: Request) -> bool:
        """Whether this letter was still held back."""
        with self._lock:
            return self._held_back.pop(request.request_id, None) is not None

    def _release(self) -> None:
        """Another request's callback has gone out: those that waited for it follow."""
        with self._lock:
            waiting, self._held_back = list(self._held_back.values()), {}
        for request in waiting:
            self._attempt(request, Delivery(0), attempt=1)

    def _attempt(self, request: Request, delivery: Delivery, *, attempt: int) -> None:
        if self._log.request(request.request_id) is None:
            return
        letter = write(request, delivery.kind, self._identity)
        timeout = max(TIMEOUT_SECONDS_MIN, self._policy.timeout_seconds(attempt) / self._speed)
        status, error = _send(str(request.webhook_url), letter, timeout)
        with self._log.together():
            if self._log.request(request.request_id) is None:
                return  # Forgotten by a reset while it was under way.
            self._note(request, delivery, letter, attempt=attempt, status=status, error=error)
            self._settle(request, self._outcome(request, delivery, attempt=attempt, status=status), attempt)

    def _outcome(self, request: Request, delivery: Delivery, *, attempt: int, status: int | None) -> CallbackState:
        if status is not None and 200 <= status < 300:
            return "acknowledged"
        return "pending" if self._retry(request, delivery, attempt=attempt, status=status) else "given up"

    def _retry(self, request: Request, delivery: Delivery, *, attempt: int, status: int | None) -> bool:
        # A redirect is final: fal never follows one, and never comes back.
        redirected = status is not None and 300 <= status < 400
        if not delivery.insists or redirected or attempt > self._policy.retries:
            return False
        pause = self._policy.pause_seconds(attempt) / self._speed
        if self._policy.until_result_expires and time.time() + pause > self._expiry(request):
            return False
        self._timers.after(pause, partial(self._attempt, request, delivery, attempt=attempt + 1))
        return True

    def _expiry(self, request: Request) -> float:
        return (request.completed_at or time.time()) + request.result_seconds / self._speed

    def _settle(self, request: Request, state: CallbackState, attempts: int) -> None:
        known = self._log.request(request.request_id)
        if known is not None and known.callback == "pending":
            self._log.change(request.request_id, only_from=("COMPLETED",), callback=state, callback_attempts=attempts)

    def _note(
        self,
        request: Request,
        delivery: Delivery,
        letter: Letter,
        *,
        attempt: int,
        status: int | None,
        error: str | None,
    ) -> None:
        self._log.add(
            Callback(
                at=time.time(),
                request_id=request.request_id,
                attempt=attempt,
                kind=delivery.kind,
                url=str(request.webhook_url),
                headers=letter.headers,
                body=letter.body,
                status=status,
                error=error,
            )
        )


def _send(url: str, letter: Letter, timeout: float) -> tuple[int | None, str | None]:
    """The receiver's status, or why there is none. Redirects are not followed, proxies not asked."""
    address = urlsplit(url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(address.hostname or "", address.port, timeout=timeout)
        try:
            target = address.path or "/"
            connection.request(
                "POST", f"{target}?{address.query}" if address.query else target, letter.body, letter.headers
            )
            return connection.getresponse().status, None
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return None, f"{type(error).__name__}: {error}"
