"""The lean stand-in for fal answers Limn's own client, callback verification and file inspection as fal does."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from time import monotonic

import pytest

from config.management.ports import free_port
from generations.fal import Completed, FalClient, Forbidden
from generations.fal.keys import read_jwks
from generations.fal.webhooks import verify
from generations.fal.wire import Finished, Running, read_callback
from generations.files import inspection
from quality.benchmarks import http_load
from quality.benchmarks.environment import Fal
from quality.benchmarks.fal_server import FAILURE, FAL_KEY, CallbackClient, Job, Outbound, State, png
from quality.benchmarks.signing import USER_ID, Signer, new_private_key
from quality.chaos import processes
from tests.services.waiting import until

pytestmark = [pytest.mark.once, pytest.mark.slow]

ENDPOINT = "fal-ai/flux/schnell"


@pytest.fixture(scope="module")
def fal() -> Iterator[Fal]:
    port, key = free_port(), new_private_key()
    process = processes.start([sys.executable, "-m", "quality.benchmarks.fal_server", str(port), key])
    until(lambda: http_load.answers(port), what="the stand-in for fal")
    yield Fal(port, process, Signer(key))
    process.kill()
    process.wait()


@pytest.fixture
def client(fal: Fal) -> Iterator[FalClient]:
    fal.forget()
    fal.behave(callback_seconds=-1, file_bytes=20_000)
    client = FalClient(key=FAL_KEY, queue_url=f"http://127.0.0.1:{fal.port}")
    yield client
    client.close()


def submit(client: FalClient, prompt: str = "a lighthouse", webhook_url: str = "http://127.0.0.1:9/x"):
    return client.submit(ENDPOINT, {"prompt": prompt}, webhook_url=webhook_url, start_timeout_seconds=60)


def test_a_submission_gets_a_receipt_and_is_counted_once(fal: Fal, client: FalClient) -> None:
    receipt = submit(client)

    assert [job["request_id"] for job in fal.jobs()] == [receipt.request_id]
    assert isinstance(client.status(receipt.status_url), Running)
    assert isinstance(client.result(receipt.response_url), Completed)


def test_another_key_is_refused(fal: Fal) -> None:
    with (
        closing(FalClient(key="another:key", queue_url=f"http://127.0.0.1:{fal.port}")) as stranger,
        pytest.raises(Forbidden),
    ):
        submit(stranger)


def test_the_file_has_the_chosen_size_and_is_an_image(fal: Fal, client: FalClient) -> None:
    result = client.result(submit(client).response_url)
    assert isinstance(result, Completed)

    path = result.answer["images"][0]["url"].partition(str(fal.port))[2]
    body = http_load.fetch(fal.port, http_load.request("GET", path, {}))
    assert len(body) == 20_000
    assert inspection.inspect(io.BytesIO(body), len(body)).content_type == "image/png"


@pytest.mark.parametrize("size", [20_000, 1_000_000])
def test_a_png_has_exactly_the_size(size: int) -> None:
    assert len(png(size)) == size


def test_a_callback_is_signed_with_the_published_key(fal: Fal, client: FalClient) -> None:
    keys = read_jwks(http_load.fetch(fal.port, http_load.request("GET", "/.well-known/jwks.json", {})))
    state = State("http://127.0.0.1:9", fal.signer)

    head, _, body = state.callback(Job("one", "http://127.0.0.1:9/x", 0)).partition(b"\r\n\r\n")

    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    signed = verify(headers, body, keys=keys, now=int(headers["X-Fal-Webhook-Timestamp"]), user_id=USER_ID)
    assert signed.request_id == read_callback(body).request_id == "one"


def test_the_callback_is_delivered(fal: Fal, client: FalClient) -> None:
    fal.behave(callback_seconds=0)
    receipt = submit(client, webhook_url=f"http://127.0.0.1:{fal.port}/.well-known/jwks.json")

    until(lambda: fal.jobs()[0]["status"] == 200, what="the answer to the callback")

    assert isinstance(client.status(receipt.status_url), Finished)


def test_a_file_arrives_after_the_chosen_time(fal: Fal, client: FalClient) -> None:
    fal.behave(callback_seconds=-1, file_bytes=20_000, file_seconds=0.3)
    began = monotonic()

    content = http_load.fetch(fal.port, http_load.request("GET", "/files/20000/a.png", {}, b""))

    assert len(content) == 20_000
    assert monotonic() - began >= 0.3


def test_a_job_with_the_mark_of_a_failure_fails(fal: Fal, client: FalClient) -> None:
    submit(client, prompt=f"a lighthouse {FAILURE}")

    assert [job["fails"] for job in fal.jobs()] == [True]


def test_the_callback_of_a_failed_job_names_an_error() -> None:
    state = State("http://127.0.0.1:9", Signer(new_private_key()))

    body = state.callback(Job("one", "http://127.0.0.1:9/x", 0, fails=True)).partition(b"\r\n\r\n")[2]

    assert json.loads(body)["status"] == "ERROR"


class Wire(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass


def test_the_end_of_a_chunked_answer_is_not_taken_for_the_next_answer() -> None:
    state = State("http://127.0.0.1:9", Signer(new_private_key()))
    client = CallbackClient(state)
    connection = Outbound(client, state)
    connection.connection_made(Wire())
    job = Job("one", "http://127.0.0.1:9/x", 0)

    connection.send(job)
    connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    assert job.answered_at is None
    connection.data_received(b"0\r\n\r\n")

    assert (job.status, job.answered_at is not None) == (200, True)
