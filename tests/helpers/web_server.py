"""`manage.py serve` on a port of its own, and somebody who posts to it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

import requests

from generations.models import Submission
from simulator import Simulator
from tests.services.processes import Processes, RunningCommand
from tests.services.waiting import HANG_SECONDS

# Less than eight threads need to sit out a hundred slow senders who may each take ten seconds, and more than an answer
# takes on an overloaded machine.
ANSWER_SECONDS_MAX = 60.0


@dataclass(frozen=True, kw_only=True)
class Web:
    """Where callbacks go: Limn itself, or a proxy in front of it."""

    port: int
    fal: Simulator

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def deliver(self, submission: Submission, body: bytes | None = None) -> int:
        """fal's callback for this attempt; the answer's status."""
        request_id = str(submission.request_id)
        body = self.fal.callback_body(request_id) if body is None else body
        return self.post(path_of(submission), body, self.fal.sign(body, request_id=request_id)).status_code

    def post(self, path: str, body: bytes | Iterable[bytes], headers: dict[str, str]) -> requests.Response:
        """What is not bytes goes out in chunks."""
        with requests.Session() as session:
            session.trust_env = False
            return session.post(
                self.url + path,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=ANSWER_SECONDS_MAX,
                allow_redirects=False,
            )

    def dial(self, words: bytes) -> socket.socket:
        """A connection on which somebody has begun to speak."""
        line = socket.create_connection(("127.0.0.1", self.port))
        line.settimeout(HANG_SECONDS)
        line.sendall(words)
        return line


def path_of(submission: Submission) -> str:
    return f"/hooks/fal/{submission.pk}/{submission.token}"


def serve(limn: Processes, port: int, **environment: str) -> RunningCommand:
    """A web server that answers."""
    running = limn("serve", "--port", str(port), "--workers", "1", **environment)
    running.wait_for_response(f"http://127.0.0.1:{port}/health/live")
    return running


def head(path: str, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def status_on(line: socket.socket) -> int:
    """The status of the answer, and the end of the conversation; 0 when the connection ended without one."""
    with line:
        try:
            words = line.recv(4096).split()
        except ConnectionError:
            return 0
    return int(words[1]) if len(words) > 1 else 0
