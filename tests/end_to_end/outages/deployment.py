"""Limn as in production: web server, worker and PostgreSQL, each a separate process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from config.management.ports import free_port
from simulator import Simulator
from tests.services.processes import Processes, processes, run_command
from tests.services.waiting import HANG_SECONDS

Callback = tuple[str, bytes, str, dict[str, str]]
"""Path, body, method and headers, as `Deployment.request` takes them."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the web server answered."""

    status: int
    retry_after: str
    body: Any
    """The parsed JSON, or the text of a page."""

    @property
    def is_unavailable(self) -> bool:
        """Whether it is a 503 with a Retry-After.

        A test that ends the outage only after the answer proves with it that the request did not wait for the end.
        """
        return self.status == 503 and self.retry_after.isdigit()


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A running Limn, and the API key of a user."""

    url: str
    token: str
    fal: Simulator
    limn: Processes

    def request(self, path: str, body: Any = None, method: str = "", headers: dict[str, str] | None = None) -> Answer:
        """Send a request with the user's key, or with `headers` instead. Bytes are sent as they are, others as JSON."""
        method = method or ("GET" if body is None else "POST")
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        with_key = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with requests.Session() as session:
            session.trust_env = False
            session.headers.update(headers or with_key)
            response = session.request(method, self.url + path, data=data, timeout=HANG_SECONDS, allow_redirects=False)
        return Answer(
            status=response.status_code,
            retry_after=response.headers.get("Retry-After", ""),
            body=response.json() if "json" in response.headers["Content-Type"] else response.text,
        )

    def request_all(self, *requests: tuple[Any, ...]) -> list[Answer]:
        """Send all requests at the same time, each with the arguments of `request`."""
        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(lambda arguments: self.request(*arguments), requests))

    def is_healthy(self) -> bool:
        """Whether every thread of the web server has a working connection to the database."""
        return {answer.status for answer in self.request_all(*[("/api/v1/credits/",)] * 8)} == {200}

    def order(self, **inputs: Any) -> str:
        """The id of a new generation."""
        body = {"model": "flux-schnell", "input": {"prompt": "a cat", **inputs}, "allow_duplicate": True}
        answer = self.request("/api/v1/generations/", body)
        assert answer.status == 202, answer
        return str(answer.body["id"])

    def callback(self) -> Callback:
        """fal's callback for a new generation that fal has finished. It is not sent yet."""
        self.fal.script("hold", "callback:lost")
        before = {request.request_id for request in self.fal.log.accepted()}
        self.order()
        (accepted,) = [request for request in self.fal.log.accepted() if request.request_id not in before]
        body = self.fal.callback_body(accepted.request_id)
        path = str(accepted.webhook_url).removeprefix(self.url)
        return path, body, "POST", self.fal.sign(body, request_id=accepted.request_id)

    def deliver(self, callback: Callback) -> Answer:
        return self.request(*callback)


@contextmanager
def deploy(database_url: str, fal: Simulator, folder: Path) -> Iterator[Deployment]:
    """Migrates the database and runs a web server and a worker on it for as long as the block lasts."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {"DATABASE_URL": database_url, "DATA_DIR": str(folder), "SITE_URL": url, "PORT": str(port)}
    run_command("migrate", environment=environment)
    demo = run_command("demo_user", "--json", "--credits", "1000", environment=environment)
    with processes(folder, environment) as limn:
        web = limn("serve", "--workers", "1")
        limn("work").wait_for_output("Working.")
        web.wait_for_response(f"{url}/health/live")
        yield Deployment(url=url, token=json.loads(demo.stdout)["token"], fal=fal, limn=limn)
