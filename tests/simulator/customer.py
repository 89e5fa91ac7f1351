"""Somebody who orders at fal and listens for its callbacks, over real sockets."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from generations.catalogue import find_by_endpoint
from simulator import Request, Simulator

FLUX = "fal-ai/flux/schnell"
NANO = "fal-ai/nano-banana-pro"
VEO = "fal-ai/veo3.1/fast"
TRIPO = "tripo3d/tripo/v2.5/image-to-3d"
SMALL = {"image_size": {"width": 256, "height": 256}}
CHEAP: dict[str, dict[str, Any]] = {FLUX: SMALL, VEO: {"duration": "4s"}}

# Nothing here speaks TLS, and reading all the world's certificates for each client takes 30 ms.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def get(url: str, **details: Any) -> httpx.Response:
    """As a stranger: without a key."""
    return httpx.get(url, trust_env=False, verify=NO_TLS, **details)


def fox(endpoint: str, words: str = "") -> dict[str, Any]:
    """The least that can be ordered from this model; a fox, whatever it makes."""
    model = find_by_endpoint(endpoint)
    if model is None:
        return {"prompt": "a fox"}
    needed = {name: model.schema["properties"][name] for name in model.required_inputs()}
    return {name: _fox(field, words) for name, field in needed.items()}


def _fox(field: dict[str, Any], words: str) -> Any:
    if field.get("type") == "array":
        return [_fox(field["items"], words)]
    return "https://example.com/fox.png" if field.get("format") == "uri" else f"a fox {words}"


class Customer:
    """Orders foxes."""

    def __init__(self, fal: Simulator) -> None:
        self.fal = fal
        headers = {"Authorization": f"Key {fal.environment()['FAL_KEY']}"}
        self.http = httpx.Client(base_url=fal.url, headers=headers, timeout=5, trust_env=False, verify=NO_TLS)

    def submit(
        self, words: str = "", *, endpoint: str = FLUX, webhook: str | None = None, **details: Any
    ) -> httpx.Response:
        inputs = {**fox(endpoint, words), **CHEAP.get(endpoint, {}), **details.pop("inputs", {})}
        params = {"fal_webhook": webhook} if webhook else {}
        return self.http.post(f"/{endpoint}", json=inputs, params={**params, **details.pop("params", {})}, **details)

    def order(self, words: str = "", **details: Any) -> str:
        return str(self.submit(words, **details).json()["request_id"])

    def completed(self, words: str = "", **details: Any) -> Request:
        """An order, and what became of it."""
        request_id = self.order(words, **details)
        assert self.fal.wait_until(lambda: self.state(request_id) == "COMPLETED", 10)
        return self.known(request_id)

    def known(self, request_id: str) -> Request:
        request = self.fal.log.request(request_id)
        assert request is not None
        return request

    def state(self, request_id: str) -> str:
        return self.known(request_id).state

    def status(self, request_id: str, **params: Any) -> httpx.Response:
        return self.http.get(f"/{self.known(request_id).app}/requests/{request_id}/status", params=params)

    def result(self, request_id: str) -> httpx.Response:
        return self.http.get(f"/{self.known(request_id).app}/requests/{request_id}")

    def cancel(self, request_id: str) -> httpx.Response:
        return self.http.put(f"/{self.known(request_id).app}/requests/{request_id}/cancel")


@dataclass
class Letter:
    """A callback as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Where callbacks go. Answers with the next of `answers`, then with 200."""

    url: str
    answers: list[int] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.letters.append(Letter(self.path, dict(self.headers), body))
            self.send_response(inbox.answers.pop(0) if inbox.answers else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        inbox = Receiver(url=f"http://127.0.0.1:{server.server_address[1]}/hooks/fal?token=abc")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield inbox
        finally:
            server.shutdown()
