"""Starts `manage.py serve` on a port, and sends it callbacks and incomplete requests over a socket."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

import requests

from generations.models import Submission
from simulator import Simulator
from tests.services.processes import Processes, RunningCommand
from tests.services.waiting import HANG_SECONDS

# A hundred slow clients who may each take ten seconds would occupy eight threads for more than two minutes. A callback
# that does not wait for them is answered sooner than this, also on an overloaded machine.
ANSWER_SECONDS_MAX = 60.0


@dataclass(frozen=True, kw_only=True)
class Web:
    """The address to which callbacks are sent: Limn itself, or a proxy in front of it."""

    port: int
    fal: Simulator

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def deliver(self, submission: Submission, body: bytes | None = None) -> int:
        """Send fal's callback for this submission, by default with fal's body. Returns the status of the response."""
        request_id = str(submission.request_id)
        body = self.fal.callback_body(request_id) if body is None else body
        headers = self.fal.sign(body, request_id=request_id)
        return self.post(callback_path(submission), body, headers).status_code

    def post(self, path: str, body: bytes | Iterable[bytes], headers: dict[str, str]) -> requests.Response:
        """Send a POST request. A body that is an iterable of bytes is sent in chunks."""
        with requests.Session() as session:
            session.trust_env = False
            return session.post(
                self.url + path,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=ANSWER_SECONDS_MAX,
                allow_redirects=False,
            )

    def connect(self, data: bytes) -> socket.socket:
        """A new connection on which `data` has been sent."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.settimeout(HANG_SECONDS)
        connection.sendall(data)
        return connection


def callback_path(submission: Submission) -> str:
    return f"/hooks/fal/{submission.pk}/{submission.token}"


def serve(limn: Processes, port: int, **environment: str) -> RunningCommand:
    """Start a web server, and wait until it answers."""
    server = limn("serve", "--port", str(port), "--workers", "1", **environment)
    server.wait_for_response(f"http://127.0.0.1:{port}/health/live")
    return server


def request_head(path: str, headers: dict[str, str]) -> bytes:
    """The request line and the headers of a POST request, with the empty line that ends them."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def read_status(connection: socket.socket) -> int:
    """The status of the response, or 0 if the server closed the connection without one. Closes the connection."""
    with connection:
        try:
            words = connection.recv(4096).split()
        except ConnectionError:
            return 0
    return int(words[1]) if len(words) > 1 else 0
