"""The simulator as a whole: its parts put together, and the handle that tests hold."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simulator import canary_host, control_api, jwks, openapi_documents
from simulator.billing import Bill
from simulator.callback_faults import body_of
from simulator.callback_sender import TIMEOUT_SECONDS_MIN, Courier
from simulator.file_server import FileServer
from simulator.index_page import IndexPage
from simulator.job_queue import Queue, ended
from simulator.log import Log
from simulator.outcomes import Studio
from simulator.platform_api import Platform
from simulator.retry_policies import POLICIES, PolicyName
from simulator.router import Route, Router
from simulator.scenario_queue import Stage
from simulator.scheduler import Timers
from simulator.server import Server
from simulator.signing import Identity, KeyName
from simulator.status_api import Asking
from simulator.submit_api import Submitting

LIFE_WORKERS = 4
# Many, because each may wait for a receiver that does not answer.
CALLBACK_WORKERS = 32
REQUEST = r"/(?P<app>[^/_.][^/]*/[^/]+)/requests/(?P<request_id>[^/]+)"


class Simulator:
    """fal on this machine. Use it as a context manager, or `start` and `stop` it."""

    def __init__(
        self,
        data_dir: Path | str | None = None,
        port: int = 0,
        speed: float = 1.0,
        *,
        host: str = "127.0.0.1",
        callback_policy: PolicyName = "2026",
        public_url: str = "",
    ) -> None:
        if speed <= 0:
            raise ValueError("The speed must be greater than 0.")
        folder = _folder(data_dir)
        self._server = Server(host, port)
        # Behind a proxy, the addresses in answers name the proxy.
        self.url = public_url or f"http://{host}:{self._server.port}"
        self.canary_url = f"http://localhost:{self._server.port}{canary_host.PREFIX}"
        self.log = Log(folder / "log.sqlite3" if folder else None)
        self._identity = Identity(folder / "keys.json" if folder else None)
        self._stage = Stage()
        self._build(speed, callback_policy)

    def start(self) -> None:
        self._server.start()
        self._queue.resume()

    def stop(self) -> None:
        self._server.stop()
        self._life.stop()
        self._deliveries.stop()
        self.log.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # What clients need to know

    def environment(self) -> dict[str, str]:
        """The settings that point Limn at this simulator."""
        return {
            "FAL_KEY": self._identity.fal_key,
            "FAL_ADMIN_KEY": self._identity.admin_key,
            "FAL_USER_ID": self._identity.user_id,
            "FAL_QUEUE_URL": self.url,
            "FAL_JWKS_URL": f"{self.url}{jwks.PATH}",
            "FAL_MEDIA_HOSTS": self.url.removeprefix("http://"),
        }

    # What shall go wrong

    def script(self, *scenarios: str, times: int = 1) -> None:
        """These scenarios, together, for each of the next submits. Calls queue behind each other."""
        self._stage.script(*scenarios, times=times)

    def always(self, *scenarios: str) -> None:
        """These scenarios for every submit, until `clear`."""
        self._stage.always(*scenarios)

    def clear(self) -> None:
        """No more scenarios than those in the orders themselves."""
        self._stage.clear()

    def finish(self, request_id: str) -> bool:
        """The job ends now. False if it had ended before, or is not known."""
        return self._queue.finish(request_id)

    def reprice(self, endpoint: str, dollars: str, unit: str | None = None) -> None:
        """fal's price list says this of the endpoint from now on: so many US dollars a unit."""
        self._bill.reprice(endpoint, dollars=Decimal(dollars), unit=unit)

    # Callbacks and keys

    def sign(
        self,
        body: bytes,
        *,
        request_id: str,
        user_id: str | None = None,
        timestamp: int | None = None,
        key: KeyName = "current",
    ) -> dict[str, str]:
        """The four headers with which fal would send this body."""
        return self._identity.sign(body, request_id=request_id, user_id=user_id, timestamp=timestamp, key=key)

    def callback_body(self, request_id: str) -> bytes:
        """What fal would call back with if the job ended now, or has called back with."""
        request = self.log.request(request_id)
        if request is None:
            raise LookupError(f"The simulator knows no request {request_id}.")
        return body_of(request if request.state == "COMPLETED" else ended(request, self._studio, self.log))

    def call_again(self, request_id: str, kind: str = "true") -> None:
        """Send a callback once more, however long ago the job ended; or the contradiction of it."""
        self._courier.call_again(request_id, kind)

    def rotate_keys(self, keep_previous: bool = True) -> None:
        """Sign with a new key from now on; publish the old one a while longer, or not."""
        self._identity.rotate(keep_previous=keep_previous)

    def jwks_mode(self, mode: str) -> None:
        """How the key page answers: ok, down, slow, garbage, empty, padded or huge."""
        self._key_page.switch(mode)

    @property
    def jwks_fetches(self) -> int:
        return self._key_page.fetches

    # Waiting and beginning anew

    def wait_until(self, predicate: Callable[[], Any], timeout: float = 10) -> bool:
        """Whether the predicate came true in time; it is asked again after each thing the log hears of."""
        return self.log.wait_until(predicate, timeout)

    def reset(self) -> None:
        """Forget requests, scenarios and faults. Account and keys stay. No callback is under way when it returns."""
        self._life.clear(seconds_max=1)
        self._deliveries.clear(seconds_max=TIMEOUT_SECONDS_MIN)
        for part in (self._submitting, self._courier, self._files, self._asking, self._bill):
            part.forget()
        self._stage.clear()
        self._key_page.switch("ok")
        self._key_page.fetches = 0
        self.log.clear()

    def _build(self, speed: float, callback_policy: PolicyName) -> None:
        log, identity = self.log, self._identity
        self._life = Timers(workers=LIFE_WORKERS)
        self._deliveries = Timers(workers=CALLBACK_WORKERS)
        self._studio = Studio(base_url=self.url, canary_url=self.canary_url)
        self._courier = Courier(
            log=log, identity=identity, timers=self._deliveries, policy=POLICIES[callback_policy], speed=speed
        )
        self._queue = Queue(log=log, studio=self._studio, courier=self._courier, timers=self._life, speed=speed)
        self._files = FileServer(log=log, studio=self._studio, canary_url=self.canary_url, speed=speed)
        self._bill = Bill(log)
        self._asking = Asking(
            log=log, queue=self._queue, identity=identity, bill=self._bill, base_url=self.url, speed=speed
        )
        self._key_page = jwks.KeyPage(identity, log)
        self._submitting = Submitting(
            log=log,
            queue=self._queue,
            courier=self._courier,
            identity=identity,
            stage=self._stage,
            stopping=self._server.stopping,
            base_url=self.url,
            canary_url=self.canary_url,
            speed=speed,
        )
        self._server.router = Router(self._routes())

    def _routes(self) -> list[Route]:
        ours = control_api.Control(self)
        platform = Platform(log=self.log, identity=self._identity, bill=self._bill)
        asking = self._asking
        return [
            Route("GET", "/", IndexPage(self.log).answer),
            Route("GET", rf"{control_api.PREFIX}/log/(?P<name>\w+)", ours.records),
            Route("GET", rf"{control_api.PREFIX}/(?P<name>\w+)", ours.read),
            Route("POST", rf"{control_api.PREFIX}/(?P<name>\w+)", ours.order),
            Route("*", rf"{canary_host.PREFIX}/.*", canary_host.Canary(self.log).answer),
            Route("GET", jwks.PATH, self._key_page.answer),
            Route("GET", r"/files/.+", self._files.answer),
            Route("GET", r"/v1/models/requests/by-endpoint", platform.by_endpoint),
            Route("GET", r"/v1/models/pricing", platform.pricing),
            Route("GET", r"/v1/models/billing-events", platform.billing_events),
            Route("DELETE", r"/v1/models/requests/(?P<request_id>[^/]+)/payloads", platform.delete_payloads),
            Route("GET", openapi_documents.PATH, openapi_documents.answer),
            Route("GET", rf"{REQUEST}/status", asking.keyed(asking.status)),
            Route("GET", REQUEST, asking.keyed(asking.result)),
            Route("PUT", rf"{REQUEST}/cancel", asking.keyed(asking.cancel)),
            Route("POST", r"/[^_.][^/]*/.+", self._submitting.answer),
        ]


def _folder(data_dir: Path | str | None) -> Path | None:
    if data_dir is None:
        return None
    folder = Path(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
