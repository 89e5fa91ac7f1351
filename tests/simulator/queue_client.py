"""A client of the simulator's queue API, and a receiver of its callbacks, both over real sockets.

The tests of the simulator use them instead of Limn. `get` and the endpoints are used by other tests too.
"""

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
NANO_BANANA = "fal-ai/nano-banana-pro"
VEO = "fal-ai/veo3.1/fast"
TRIPO = "tripo3d/tripo/v2.5/image-to-3d"
SMALL = {"image_size": {"width": 256, "height": 256}}
# Small files are drawn faster.
SMALL_INPUTS: dict[str, dict[str, Any]] = {FLUX: SMALL, VEO: {"duration": "4s"}}

# How many times faster than fal the simulator of the fixture `fal` is.
SPEED = 200
# Nothing here uses TLS, and loading the certificate authorities for each client takes 30 ms.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# Only a hang reaches it.
TIMEOUT_SECONDS = 60


def get(url: str, **details: Any) -> httpx.Response:
    """Send a GET without a key."""
    return httpx.get(url, **{"trust_env": False, "verify": NO_TLS, "timeout": TIMEOUT_SECONDS, **details})


def required_inputs(endpoint: str, scenarios: str = "") -> dict[str, Any]:
    """Return the inputs that the model requires; texts contain the scenarios."""
    model = find_by_endpoint(endpoint)
    if model is None:
        return {"prompt": "a fox"}
    properties = {name: model.schema["properties"][name] for name in model.required_inputs()}
    return {name: _example(schema, scenarios) for name, schema in properties.items()}


def _example(schema: dict[str, Any], scenarios: str) -> Any:
    if schema.get("type") == "array":
        return [_example(schema["items"], scenarios)]
    return "https://example.com/fox.png" if schema.get("format") == "uri" else f"a fox {scenarios}"


class QueueClient:
    """Submits jobs to a simulator and asks for their status, as one customer of fal."""

    def __init__(self, fal: Simulator) -> None:
        self.fal = fal
        headers = {"Authorization": f"Key {fal.environment()['FAL_KEY']}"}
        self.http = httpx.Client(
            base_url=fal.url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False, verify=NO_TLS
        )

    def submit(
        self, scenarios: str = "", *, endpoint: str = FLUX, webhook: str | None = None, **details: Any
    ) -> httpx.Response:
        """Submit a job and return the response. `details` are inputs, params, and arguments of httpx."""
        inputs = {
            **required_inputs(endpoint, scenarios),
            **SMALL_INPUTS.get(endpoint, {}),
            **details.pop("inputs", {}),
        }
        params = {"fal_webhook": webhook} if webhook else {}
        return self.http.post(f"/{endpoint}", json=inputs, params={**params, **details.pop("params", {})}, **details)

    def enqueue(self, scenarios: str = "", **details: Any) -> str:
        """Submit a job and return its request id."""
        return str(self.submit(scenarios, **details).json()["request_id"])

    def run(self, scenarios: str = "", **details: Any) -> Request:
        """Submit a job, wait until it has completed, and return its record."""
        return self.wait_for(self.enqueue(scenarios, **details), "COMPLETED")

    def wait_for(self, request_id: str, state: str) -> Request:
        """Wait until a job is in this state, and return its record."""
        assert self.fal.wait_until(lambda: self.record(request_id).state == state)
        return self.record(request_id)

    def record(self, request_id: str) -> Request:
        """Return what the simulator's log holds about a job."""
        request = self.fal.log.request(request_id)
        assert request is not None
        return request

    def status(self, request_id: str, **params: Any) -> httpx.Response:
        return self.http.get(f"/{self.record(request_id).app}/requests/{request_id}/status", params=params)

    def result(self, request_id: str) -> httpx.Response:
        return self.http.get(f"/{self.record(request_id).app}/requests/{request_id}")

    def cancel(self, request_id: str) -> httpx.Response:
        return self.http.put(f"/{self.record(request_id).app}/requests/{request_id}/cancel")


@dataclass
class ReceivedCallback:
    """A callback as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class CallbackReceiver:
    """The server that callbacks are sent to. Answers with the next status of `statuses`, then with 200."""

    url: str
    statuses: list[int] = field(default_factory=list)
    callbacks: list[ReceivedCallback] = field(default_factory=list)


@contextmanager
def callback_receiver() -> Iterator[CallbackReceiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.callbacks.append(ReceivedCallback(self.path, dict(self.headers), body))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = CallbackReceiver(url=f"http://127.0.0.1:{server.server_address[1]}/hooks/fal?token=abc")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield receiver
        finally:
            server.shutdown()
