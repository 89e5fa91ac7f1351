"""Sends callbacks: when, how often and until when.

The job queue calls `schedule` when a job completes and when the simulator restarts. Each attempt is recorded in the log
with the receiver's answer; a failed one is retried by the retry policy, as fal does. Callback scenarios replace the
usual single delivery by those in `DELIVERIES`.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from simulator.callback_faults import CallbackMessage, build
from simulator.log import Log
from simulator.records import Callback, CallbackState, Request
from simulator.retry_policies import RetryPolicy
from simulator.scenarios import parse
from simulator.scheduler import Scheduler
from simulator.signing import FalAccount

# Time-outs are divided by the simulator's speed, but the receiver is a real program and needs real time.
TIMEOUT_SECONDS_MIN = 5.0


@dataclass(frozen=True)
class Delivery:
    """A callback of this kind, sent this many seconds after the job completed."""

    after_seconds: float
    kind: str = "true"
    retried: bool = True
    """Whether a failed attempt is followed by others."""


USUAL = Delivery(0)
DELIVERIES: Mapping[str, tuple[Delivery, ...]] = {
    "lost": (),
    "late": (Delivery(60),),
    "double": (Delivery(0), Delivery(0)),
    "again_late": (Delivery(0), Delivery(60)),
    # Sent by `send_now`, before the client has the response to its submission.
    "early": (),
    "forged": (Delivery(0, "forged", retried=False),),
    "wrong_account": (Delivery(0, "wrong_account", retried=False),),
    "mismatch": (Delivery(0, "mismatch", retried=False),),
    "stale": (Delivery(0, "stale", retried=False),),
    "garbage": (Delivery(0, "garbage", retried=False),),
    "null_payload": (Delivery(0, "null_payload"),),
    "error_null_payload": (Delivery(0, "error_null_payload"),),
    "contradictory": (Delivery(0), Delivery(1, "contradiction", retried=False)),
    # Sent after the next callback of another request, or after this time if there is none.
    "reordered": (Delivery(30),),
}


class CallbackSender:
    """Delivers callbacks to the URLs that came with the submissions."""

    def __init__(
        self, *, log: Log, account: FalAccount, scheduler: Scheduler, policy: RetryPolicy, speed: float
    ) -> None:
        self._log = log
        self._account = account
        self._scheduler = scheduler
        self._policy = policy
        self._speed = speed
        self._lock = threading.Lock()
        # Requests of the scenario `reordered` whose callback waits for that of another request.
        self._held_back: dict[str, Request] = {}

    def schedule(self, request: Request) -> None:
        """Schedule all deliveries of a completed request whose callback is pending."""
        if request.webhook_url is None or request.callback != "pending":
            return
        choices = parse(request.scenarios).choices("callback")
        if "reordered" in choices:
            with self._lock:
                self._held_back[request.request_id] = request
        if not choices:
            self._scheduler.call_later(0, partial(self._deliver, request, USUAL))
        for choice in choices:
            if choice == "contradictory":
                # The second delivery is scheduled after the first was sent: scheduled together, it could overtake.
                self._scheduler.call_later(0, partial(self._deliver_in_order, request, DELIVERIES[choice]))
                continue
            for delivery in DELIVERIES[choice]:
                pause = delivery.after_seconds / self._speed
                self._scheduler.call_later(pause, partial(self._deliver, request, delivery))

    def send_now(self, request: Request) -> None:
        """Make the first attempt in the caller's thread."""
        self._attempt(request, USUAL, attempt=1)

    def send_again(self, request_id: str, kind: str) -> None:
        """Make one more attempt of this kind in the caller's thread, without retries.

        Raises LookupError if the request is unknown, has not completed, or has no callback URL.
        """
        request = self._log.request(request_id)
        if request is None or request.state != "COMPLETED" or request.webhook_url is None:
            raise LookupError(f"There is no callback of {request_id} to repeat.")
        self._attempt(request, Delivery(0, kind, retried=False), attempt=request.callback_attempts + 1)

    def reset(self) -> None:
        """Forget the callbacks that are held back."""
        with self._lock:
            self._held_back.clear()

    def _deliver_in_order(self, request: Request, deliveries: tuple[Delivery, ...]) -> None:
        first, *others = deliveries
        self._deliver(request, first)
        if others:
            pause = others[0].after_seconds / self._speed
            self._scheduler.call_later(pause, partial(self._deliver_in_order, request, tuple(others)))

    def _deliver(self, request: Request, delivery: Delivery) -> None:
        attempt = request.callback_attempts + 1
        if parse(request.scenarios).has("callback", "reordered"):
            with self._lock:
                held_back = self._held_back.pop(request.request_id, None)
            # If it is no longer held back, the callback of another request has released it already.
            if held_back is not None:
                self._attempt(request, delivery, attempt=attempt)
            return
        self._attempt(request, delivery, attempt=attempt)
        # It has overtaken the callbacks that are held back; they follow now.
        with self._lock:
            released, self._held_back = list(self._held_back.values()), {}
        for other in released:
            self._attempt(other, USUAL, attempt=1)

    def _attempt(self, request: Request, delivery: Delivery, *, attempt: int) -> None:
        """Send once, record the answer, and schedule the next attempt if there is one."""
        if self._log.request(request.request_id) is None:
            return
        # Built for each attempt, because the signature contains the time.
        message = build(request, delivery.kind, self._account)
        timeout = max(TIMEOUT_SECONDS_MIN, self._policy.timeout_seconds(attempt) / self._speed)
        status, error = _post(str(request.webhook_url), message, timeout)
        with self._log.locked():
            current = self._log.request(request.request_id)
            # The simulator may have been reset during the attempt.
            if current is None:
                return
            self._log.add(
                Callback(
                    at=time.time(),
                    request_id=request.request_id,
                    attempt=attempt,
                    kind=delivery.kind,
                    url=str(request.webhook_url),
                    headers=message.headers,
                    body=message.body,
                    status=status,
                    error=error,
                )
            )
            state: CallbackState = "acknowledged"
            if status is None or not 200 <= status < 300:
                state = "pending" if self._schedule_retry(request, delivery, attempt, status) else "given up"
            # The first delivery that ends decides; others, such as the second of `double`, do not change it.
            if current.callback == "pending":
                self._log.update_request(
                    request.request_id, only_from=("COMPLETED",), callback=state, callback_attempts=attempt
                )

    def _schedule_retry(self, request: Request, delivery: Delivery, attempt: int, status: int | None) -> bool:
        """Schedule the attempt after this failed one. Returns False if it was the last."""
        # fal does not follow a redirect and does not retry after one.
        redirected = status is not None and 300 <= status < 400
        if not delivery.retried or redirected or attempt > self._policy.retries:
            return False
        pause = self._policy.pause_seconds(attempt) / self._speed
        expires_at = (request.completed_at or time.time()) + request.result_seconds / self._speed
        if self._policy.until_result_expires and time.time() + pause > expires_at:
            return False
        self._scheduler.call_later(pause, partial(self._attempt, request, delivery, attempt=attempt + 1))
        return True


def _post(url: str, message: CallbackMessage, timeout: float) -> tuple[int | None, str | None]:
    """Return the receiver's status, or None and the error. Redirects are not followed, proxies are not used."""
    address = urlsplit(url)
    connection_type = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    try:
        connection = connection_type(address.hostname or "", address.port, timeout=timeout)
        try:
            connection.request("POST", target, message.body, message.headers)
            return connection.getresponse().status, None
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return None, f"{type(error).__name__}: {error}"
