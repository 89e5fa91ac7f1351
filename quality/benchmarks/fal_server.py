"""A stand-in for fal that costs little CPU: about a millisecond for a whole job.

The simulator draws images, keeps a log and plays faults, which would fill a core before Limn does. This program knows
one kind of job: it answers a submission with a receipt, sends the signed callback after `callback_seconds` over
connections that it keeps, answers status and result, and serves a file of the configured size. It is one process with
one event loop, and reads HTTP as far as Limn writes it.

`FalServer` starts it as a process and talks to it: `python -m quality.benchmarks.fal_server PORT PRIVATE_KEY`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import struct
import sys
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from urllib.parse import parse_qs, urlsplit

from quality.benchmarks.signing import Signer

FAL_KEY = "benchmark:only-for-benchmarks"
PROMPT = "a lighthouse on a cliff above the sea at dusk, oil on canvas, " * 14
FAILURE = "[fails]"
CONNECTIONS_MAX = 64
RETRY_SECONDS = 1.0
ATTEMPTS_MAX = 5
_CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass
class Behaviour:
    """What a benchmark can choose, by POST /_control/behaviour."""

    callback_seconds: float = 0.02
    """Between the receipt and the callback. Negative: no callback is sent."""
    file_bytes: int = 1_000_000
    file_seconds: float = 0.0
    """Between the request for a file and its response."""


@dataclass
class Job:
    """One accepted submission. Times are seconds since the epoch."""

    request_id: str
    webhook_url: str
    accepted_at: float
    fails: bool = False
    """Whether the model reports an error: the prompt contains FAILURE."""
    sent_at: float | None = None
    """When the first attempt of the callback was sent."""
    answered_at: float | None = None
    status: int = 0
    """Limn's answer to the last attempt."""
    attempts: int = 0


@dataclass
class State:
    """Everything that the connections share."""

    base_url: str
    signer: Signer
    behaviour: Behaviour = field(default_factory=Behaviour)
    jobs: dict[str, Job] = field(default_factory=dict)
    posts: int = 0
    pictures: dict[int, bytes] = field(default_factory=dict)

    def picture(self, size: int) -> bytes:
        """Return a PNG of exactly this size."""
        if size not in self.pictures:
            self.pictures[size] = png(size)
        return self.pictures[size]

    def answer(self, request_id: str) -> dict[str, object]:
        """Return the result of a job, in the form of an image model."""
        size = self.behaviour.file_bytes
        image = {
            "url": f"{self.base_url}/files/{size}/{request_id}.png",
            "width": 64,
            "height": 64,
            "content_type": "image/png",
            "file_size": size,
        }
        return {
            "images": [image],
            "timings": {"inference": 0.4},
            "seed": 42,
            "has_nsfw_concepts": [False],
            "prompt": PROMPT,
        }

    def callback(self, job: Job) -> bytes:
        """Return the whole HTTP request of the callback of a job."""
        message = {"request_id": job.request_id, "gateway_request_id": job.request_id, "status": "OK", "error": None}
        payload = self.answer(job.request_id)
        if job.fails:
            entry = {"loc": ["body"], "msg": "The image could not be made", "type": "internal_error"}
            message |= {"status": "ERROR", "error": "Internal error"}
            payload = {"detail": [entry]}
        return self.signer.callback(job.webhook_url, job.request_id, encode({**message, "payload": payload}))


def encode(body: object) -> bytes:
    """Return compact JSON."""
    return json.dumps(body, separators=(",", ":")).encode()


def png(size: int) -> bytes:
    """Return a PNG of 64 × 64 pixels and of exactly `size` bytes, filled up with a chunk that viewers ignore."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    rows = b"".join(b"\x00" + os.urandom(64 * 3) for _ in range(64))
    pixels = chunk(b"IDAT", zlib.compress(rows, 1))
    end = chunk(b"IEND", b"")
    padding = size - len(head) - len(pixels) - len(end) - 12
    if padding < 0:
        raise ValueError(f"the pixels alone take more than {size} bytes")
    # A private, ancillary chunk that is safe to copy.
    return head + chunk(b"liMn", os.urandom(padding)) + pixels + end


class Inbound(asyncio.Protocol):
    """Reads the requests of one connection and answers each."""

    def __init__(self, state: State, callbacks: CallbackClient) -> None:
        self._state, self._callbacks = state, callbacks
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (for the type checker)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _CONTENT_LENGTH.search(head)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < total:
                return
            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
            status, kind, content = self._respond(method, target, head, body)
            fields = f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
            if "/requests/" in target:
                fields += "x-fal-billable-units: 1\r\n"
            response = fields.encode() + b"\r\n", content if method != "HEAD" else b""
            seconds = self._state.behaviour.file_seconds
            if seconds > 0 and target.startswith("/files/"):
                asyncio.get_running_loop().call_later(seconds, self._send, *response)
            else:
                self._send(*response)

    def _send(self, head: bytes, content: bytes) -> None:
        self._transport.write(head)
        self._transport.write(content)

    def _respond(self, method: str, target: str, head: bytes, body: bytes) -> tuple[int, str, bytes]:
        """Return status, content type and body of an answer."""
        if target.startswith("/files/"):
            return 200, "image/png", self._state.picture(int(target.split("/")[2]))
        if target.startswith("/_control/"):
            status, content = 200, self._control(target, body)
        elif target.startswith("/.well-known/"):
            key = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "x": self._state.signer.public_key}
            status, content = 200, encode({"keys": [key]})
        elif b"Key " + FAL_KEY.encode() not in head:
            status, content = 401, b'{"detail":"No user found for Key ID and Secret"}'
        elif target.startswith("/v1/"):
            status, content = 200, b'{"items":[],"has_more":false,"next_cursor":null}'
        elif "/requests/" in target:
            status, content = self._report(method, target)
        else:
            status, content = 200, self._accept(target, body)
        return status, "application/json", content

    def _accept(self, target: str, body: bytes) -> bytes:
        """Answer a submission with a receipt, and schedule the callback."""
        state, url = self._state, urlsplit(target)
        state.posts += 1
        webhook_url = parse_qs(url.query).get("fal_webhook", [""])[0]
        job = Job(str(uuid.uuid4()), webhook_url, time.time(), fails=FAILURE.encode() in body)
        state.jobs[job.request_id] = job
        if state.behaviour.callback_seconds >= 0 and job.webhook_url:
            asyncio.get_running_loop().call_later(state.behaviour.callback_seconds, self._callbacks.send, job)
        app = "/".join(url.path.strip("/").split("/")[:2])
        home = f"{state.base_url}/{app}/requests/{job.request_id}"
        receipt = {
            "status": "IN_QUEUE",
            "request_id": job.request_id,
            "gateway_request_id": job.request_id,
            "response_url": home,
            "status_url": f"{home}/status",
            "cancel_url": f"{home}/cancel",
            "queue_position": 0,
        }
        return encode(receipt)

    def _report(self, method: str, target: str) -> tuple[int, bytes]:
        """Answer a question about a job, or a cancellation."""
        path = urlsplit(target).path.split("/requests/")[1].split("/")
        job = self._state.jobs.get(path[0])
        if job is None:
            return 404, b'{"detail":"Request not found"}'
        if method == "PUT":
            return 400, b'{"status":"ALREADY_COMPLETED"}'
        if path[1:] == ["status"]:
            # Before the callback was sent, the job is still running.
            status = "COMPLETED" if job.sent_at else "IN_PROGRESS"
            return 200, encode({"status": status, "request_id": job.request_id, "logs": []})
        return 200, encode(self._state.answer(job.request_id))

    def _control(self, target: str, body: bytes) -> bytes:
        state = self._state
        if target == "/_control/behaviour":
            state.behaviour = Behaviour(**json.loads(body))
        elif target == "/_control/forget":
            state.jobs.clear()
            state.posts = 0
        return encode({"posts": state.posts, "jobs": [asdict(job) for job in state.jobs.values()]})


class CallbackClient:
    """Sends callbacks over connections that stay open, at most 64 at once."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: deque[Job] = deque()
        self._idle: list[Outbound] = []
        self._open = 0

    def send(self, job: Job) -> None:
        """Send the callback of a job as soon as a connection is free."""
        self._waiting.append(job)
        self._next()

    def finished(self, job: Job, status: int, connection: Outbound | None) -> None:
        """Record an answer (0: the connection broke), and repeat a failed callback as fal does."""
        job.status, job.answered_at = status, time.time()
        if status != 200 and job.attempts < ATTEMPTS_MAX:
            # A kept connection may have been closed just then; that is no failure of Limn.
            pause = RETRY_SECONDS if status else 0
            asyncio.get_running_loop().call_later(pause, self.send, job)
        if connection is not None:
            self._idle.append(connection)
        self._next()

    def forget(self, connection: Outbound) -> None:
        """Drop a connection that has been closed."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)

    def _next(self) -> None:
        while self._waiting and self._idle:
            self._idle.pop().send(self._waiting.popleft())
        if self._waiting and self._open < CONNECTIONS_MAX:
            self._open += 1
            job = self._waiting.popleft()
            asyncio.get_running_loop().create_task(self._connect(job))

    async def _connect(self, job: Job) -> None:
        url = urlsplit(job.webhook_url)
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Outbound(self, self._state), url.hostname or "", url.port or 80
            )
        except OSError:
            self._open -= 1
            job.attempts += 1
            self.finished(job, 503, None)
        else:
            connection.send(job)


class Outbound(asyncio.Protocol):
    """One connection to Limn, which sends one callback at a time."""

    def __init__(self, client: CallbackClient, state: State) -> None:
        self._client, self._state = client, state
        self._buffer = b""
        self._job: Job | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (for the type checker)
        self._transport = transport

    def send(self, job: Job) -> None:
        self._job, self._buffer = job, b""
        job.attempts += 1
        job.sent_at = job.sent_at or time.time()
        self._transport.write(self._state.callback(job))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._job is None:
            return
        # Its last chunk may come in a packet of its own, which must not be taken for the next answer.
        is_chunked = b"transfer-encoding: chunked" in self._buffer[:end].lower()
        length = _CONTENT_LENGTH.search(self._buffer[:end])
        if (
            self._buffer.endswith(b"0\r\n\r\n")
            if is_chunked
            else len(self._buffer) >= end + 4 + (int(length[1]) if length else 0)
        ):
            job, self._job = self._job, None
            self._client.finished(job, int(self._buffer[9:12]), self)

    def connection_lost(self, error: Exception | None) -> None:
        self._client.forget(self)
        if self._job is not None:
            job, self._job = self._job, None
            self._client.finished(job, 0, None)


async def main(port: int, private_key: str) -> None:
    state = State(f"http://127.0.0.1:{port}", Signer(private_key))
    callbacks = CallbackClient(state)
    make: Callable[[], asyncio.Protocol] = lambda: Inbound(state, callbacks)  # noqa: E731
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
