"""The simulator as a whole: builds its parts, routes requests to them, and is the handle that tests hold.

`Simulator` is used as a context manager in tests and by `python -m simulator`. Its methods are what the control API
offers over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simulator import canary_host, control_api, jwks, openapi_documents
from simulator.billing import Bill
from simulator.callback_faults import correct_body
from simulator.callback_sender import TIMEOUT_SECONDS_MIN, CallbackSender
from simulator.file_server import FileServer
from simulator.index_page import IndexPage
from simulator.job_queue import JobQueue
from simulator.log import Log
from simulator.outcomes import OutcomeBuilder
from simulator.platform_api import PlatformApi
from simulator.retry_policies import RETRY_POLICIES, PolicyName
from simulator.router import Route, Router
from simulator.scenario_queue import ScenarioQueue
from simulator.scheduler import Scheduler
from simulator.server import Server
from simulator.signing import FalAccount, KeyName
from simulator.status_api import StatusApi
from simulator.submit_api import SubmitApi

JOB_WORKERS = 4
# Many, because each may wait for a receiver that does not answer.
CALLBACK_WORKERS = 32
# Owner and alias without the sub-path. Paths that begin with an underscore or a dot are the simulator's own.
REQUEST_PATH = r"/(?P<app>[^/_.][^/]*/[^/]+)/requests/(?P<request_id>[^/]+)"


class Simulator:
    """A simulated fal with one account, listening on a port of this machine.

    Args:
        data_dir: Where keys and log are kept; None keeps them in memory.
        port: 0 takes any free port.
        speed: How many times faster than fal jobs run, results expire and callbacks are retried.
        public_url: The base of all URLs in responses, if the simulator is behind a proxy.
    """

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
        """Bind the port and build all parts. Nothing is answered before `start`."""
        if speed <= 0:
            raise ValueError("The speed must be greater than 0.")
        folder = Path(data_dir) if data_dir is not None else None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._server = Server(host, port)
        self.url = public_url or f"http://{host}:{self._server.port}"
        self.canary_url = f"http://localhost:{self._server.port}{canary_host.PREFIX}"
        self.log = Log(folder / "log.sqlite3" if folder else None)
        self._account = FalAccount(folder / "keys.json" if folder else None)
        self._scenarios = ScenarioQueue()
        self._jobs = Scheduler(workers=JOB_WORKERS)
        self._deliveries = Scheduler(workers=CALLBACK_WORKERS)
        outcomes = OutcomeBuilder(base_url=self.url, canary_url=self.canary_url)
        policy = RETRY_POLICIES[callback_policy]
        self._callbacks = CallbackSender(
            log=self.log, account=self._account, scheduler=self._deliveries, policy=policy, speed=speed
        )
        self._queue = JobQueue(
            log=self.log, outcomes=outcomes, callbacks=self._callbacks, scheduler=self._jobs, speed=speed
        )
        self._files = FileServer(log=self.log, outcomes=outcomes, canary_url=self.canary_url, speed=speed)
        self._bill = Bill(self.log)
        self._status_api = StatusApi(
            log=self.log, queue=self._queue, account=self._account, bill=self._bill, base_url=self.url, speed=speed
        )
        self._keys = jwks.KeyEndpoint(self._account, self.log)
        self._submit_api = SubmitApi(
            log=self.log,
            queue=self._queue,
            callbacks=self._callbacks,
            account=self._account,
            scenarios=self._scenarios,
            stopping=self._server.stopping,
            base_url=self.url,
            canary_url=self.canary_url,
            speed=speed,
        )
        self._server.application = Router(self._routes())

    def start(self) -> None:
        """Answer requests, and resume jobs and callbacks that an earlier process left unfinished."""
        self._server.start()
        self._queue.resume()

    def stop(self) -> None:
        """Stop answering, drop scheduled work, and close the log."""
        self._server.stop()
        self._jobs.stop()
        self._deliveries.stop()
        self.log.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Settings

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make Limn use this simulator."""
        return {
            "FAL_KEY": self._account.fal_key,
            "FAL_ADMIN_KEY": self._account.admin_key,
            "FAL_USER_ID": self._account.user_id,
            "FAL_QUEUE_URL": self.url,
            "FAL_JWKS_URL": f"{self.url}{jwks.PATH}",
            "FAL_MEDIA_HOSTS": self.url.removeprefix("http://"),
        }

    # Scenarios and jobs

    def script(self, *scenarios: str, times: int = 1) -> None:
        """Apply these scenarios together to each of the next `times` submissions, after those of earlier calls."""
        self._scenarios.script(*scenarios, times=times)

    def always(self, *scenarios: str) -> None:
        """Apply these scenarios to every submission until `clear`."""
        self._scenarios.always(*scenarios)

    def clear(self) -> None:
        """Remove the scenarios of `script` and `always`. Those in prompts still apply."""
        self._scenarios.clear()

    def finish(self, request_id: str) -> bool:
        """Complete a job now. Returns False if it is unknown or has completed."""
        return self._queue.finish(request_id)

    def reprice(self, endpoint: str, dollars: str, unit: str | None = None) -> None:
        """Change the list price of an endpoint to this many US dollars per unit."""
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
        """Return the signature headers of a callback with this body; see FalAccount.sign."""
        return self._account.sign(body, request_id=request_id, user_id=user_id, timestamp=timestamp, key=key)

    def callback_body(self, request_id: str) -> bytes:
        """Return the correct callback body of a request, as if it completed now if it has not.

        Raises LookupError if the request is unknown.
        """
        request = self.log.request(request_id)
        if request is None:
            raise LookupError(f"The simulator knows no request {request_id}.")
        return correct_body(request if request.state == "COMPLETED" else self._queue.with_outcome(request))

    def call_again(self, request_id: str, kind: str = "true") -> None:
        """Send the callback of a completed request once more, correctly or with a fault such as `contradiction`."""
        self._callbacks.send_again(request_id, kind)

    def rotate_keys(self, keep_previous: bool = True) -> None:
        """Sign with a new key from now on. The previous one stays published if `keep_previous`."""
        self._account.rotate(keep_previous=keep_previous)

    def jwks_mode(self, mode: str) -> None:
        """Choose how the JWKS endpoint answers: ok, down, slow, garbage, empty, padded or huge."""
        self._keys.set_mode(mode)

    def age(self, seconds: float, webhook_url: str) -> None:
        """Move the submission of every request with a callback below this URL into the past."""
        self.log.age_requests(seconds, webhook_url=webhook_url)

    @property
    def jwks_fetches(self) -> int:
        """How often the keys were fetched."""
        return self._keys.fetches

    # Waiting and resetting

    def wait_until(self, predicate: Callable[[], Any], timeout: float = 60) -> bool:
        """Evaluate `predicate` now and after each write to the log. Returns whether it became true in time."""
        return self.log.wait_until(predicate, timeout)

    def reset(self) -> None:
        """Forget requests, scenarios and faults; keep the account and its keys.

        No callback is being delivered when it returns.
        """
        self._jobs.clear(wait_seconds=1)
        self._deliveries.clear(wait_seconds=TIMEOUT_SECONDS_MIN)
        self._submit_api.reset()
        self._callbacks.reset()
        self._files.reset()
        self._status_api.reset()
        self._bill.reset()
        self._scenarios.clear()
        self._keys.reset()
        self.log.clear()

    def _routes(self) -> list[Route]:
        control = control_api.ControlApi(self)
        platform = PlatformApi(log=self.log, account=self._account, bill=self._bill)
        status = self._status_api
        return [
            Route("GET", "/", IndexPage(self.log).answer),
            Route("GET", rf"{control_api.PREFIX}/log/(?P<name>\w+)", control.read_log),
            Route("GET", rf"{control_api.PREFIX}/(?P<name>\w+)", control.read),
            Route("POST", rf"{control_api.PREFIX}/(?P<name>\w+)", control.command),
            Route("*", rf"{canary_host.PREFIX}/.*", canary_host.CanaryHost(self.log).answer),
            Route("GET", jwks.PATH, self._keys.answer),
            Route("GET", r"/files/.+", self._files.serve),
            Route("GET", r"/v1/models/requests/by-endpoint", platform.require_key(platform.list_requests)),
            Route("GET", r"/v1/models/pricing", platform.require_key(platform.list_prices)),
            Route("GET", r"/v1/models/billing-events", platform.require_key(platform.list_billing_events, admin=True)),
            Route(
                "DELETE",
                r"/v1/models/requests/(?P<request_id>[^/]+)/payloads",
                platform.require_key(platform.delete_payloads, admin=True),
            ),
            Route("GET", openapi_documents.PATH, openapi_documents.answer),
            Route("GET", rf"{REQUEST_PATH}/status", status.require_key(status.status)),
            Route("GET", REQUEST_PATH, status.require_key(status.result)),
            Route("PUT", rf"{REQUEST_PATH}/cancel", status.require_key(status.cancel)),
            # Last: any other path is taken for an endpoint.
            Route("POST", r"/[^_.][^/]*/.+", self._submit_api.submit),
        ]
