"""Limn as it is in production: web server, workers and PostgreSQL, each a process of its own."""

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
from tests.services.postgres import Server
from tests.services.processes import Processes, processes, run_command
from tests.services.waiting import HANG_SECONDS


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the web server answered."""

    status: int
    retry_after: str
    body: Any

    @property
    def says_come_again(self) -> bool:
        """Whether it is a 503 with a Retry-After. It is one in time when the outage lasts until it has come."""
        return self.status == 503 and self.retry_after.isdigit()


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A whole Limn, and a customer who knows its address."""

    url: str
    token: str
    fal: Simulator
    limn: Processes

    def ask(self, path: str, body: Any = None, *, method: str = "", headers: dict[str, str] | None = None) -> Answer:
        """As the customer. A body that is bytes goes out as it is; any other as JSON."""
        method = method or ("GET" if body is None else "POST")
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        known = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with requests.Session() as session:
            session.trust_env = False
            session.headers.update(headers or known)
            response = session.request(method, self.url + path, data=data, timeout=HANG_SECONDS, allow_redirects=False)
        return Answer(
            status=response.status_code,
            retry_after=response.headers.get("Retry-After", ""),
            body=response.json() if "json" in response.headers["Content-Type"] else response.text,
        )

    def ask_all(self, *questions: tuple[Any, ...]) -> list[Answer]:
        """All at once, each as in `ask`."""
        with ThreadPoolExecutor(len(questions)) as pool:
            return list(pool.map(lambda question: self.ask(*question), questions))

    def is_well(self) -> bool:
        """Whether all threads of the web server have a connection that works."""
        return {answer.status for answer in self.ask_all(*[("/api/v1/credits/",)] * 8)} == {200}

    def order(self, **inputs: Any) -> str:
        """The id of a new generation."""
        body = {"model": "flux-schnell", "input": {"prompt": "a cat", **inputs}, "allow_duplicate": True}
        answer = self.ask("/api/v1/generations/", body)
        assert answer.status == 202, answer
        return str(answer.body["id"])

    def callback(self) -> tuple[str, bytes, str, dict[str, str]]:
        """fal's callback for a new generation that it has finished, ready for `ask`."""
        self.fal.script("hold", "callback:lost")
        before = {request.request_id for request in self.fal.log.accepted()}
        self.order()
        (request,) = [request for request in self.fal.log.accepted() if request.request_id not in before]
        body = self.fal.callback_body(request.request_id)
        path = str(request.webhook_url).removeprefix(self.url)
        return path, body, "POST", self.fal.sign(body, request_id=request.request_id)

    def deliver(self, callback: tuple[str, bytes, str, dict[str, str]]) -> Answer:
        path, body, method, headers = callback
        return self.ask(path, body, method=method, headers=headers)


@contextmanager
def deploy(database: Server, fal: Simulator, folder: Path) -> Iterator[Deployment]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {"DATABASE_URL": database.url, "DATA_DIR": str(folder), "SITE_URL": url, "PORT": str(port)}
    run_command("migrate", environment=environment)
    demo = run_command("demo_user", "--json", "--credits", "1000", environment=environment)
    with processes(folder, environment) as limn:
        web = limn("serve", "--workers", "1")
        limn("work").wait_for_output("Working.")
        web.wait_for_response(f"{url}/health/live")
        yield Deployment(url=url, token=json.loads(demo.stdout)["token"], fal=fal, limn=limn)
