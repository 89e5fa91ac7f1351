"""The processes of the benchmark `rows/copy.py`: `media` serves files, `limn` and `boto3` copy them to a bucket.

A side reads lines of JSON (`url`, `files`, `at_once`), copies that many files, and prints what it took as JSON. It runs
in the checkout that is measured, so `limn` imports from there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import django
import psutil
import requests
from django.db import connection
from PIL import Image

MEGABYTE = 1_000_000
Files = tuple[str, int, int]
"""The URL, how many times it is copied, and how many copies run at the same time."""


# --- The media server ---


def serve_media() -> None:
    """Serve `/film/<bytes>` and `/image/<pixels>` from memory on a free port, which is printed. Keeps connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=[connection], daemon=True).start()


def _serve(connection: socket.socket) -> None:
    with connection, suppress(OSError), connection.makefile("rb") as stream:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while found := re.match(rb"GET /(film|image)/([0-9]+) ", stream.readline()):
            while stream.readline() not in (b"\r\n", b""):
                pass
            argument = int(found[2])
            beginning, filling = _film(argument) if found[1] == b"film" else (_image(argument), 0)
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(beginning) + filling)
            connection.sendall(head + beginning)
            while filling:
                filling -= connection.send(_noise()[:filling])


@cache
def _noise() -> memoryview:
    return memoryview(random.Random(1).randbytes(MEGABYTE))


def _film(size_bytes: int) -> tuple[bytes, int]:
    """Return the beginning of an MP4 file of this size, and how many bytes of noise follow."""

    def box(name: bytes, length: int) -> bytes:
        return (8 + length).to_bytes(4, "big") + name

    beginning = box(b"ftyp", 8) + b"isom" + bytes(4) + box(b"moov", 40) + bytes(40)
    rest = size_bytes - len(beginning) - 8
    return beginning + box(b"mdat", rest), rest


@cache
def _image(pixels: int) -> bytes:
    """Return a square JPEG image, a gradient with noise: about 0.3 MB for 1,024 pixels."""
    gradient = Image.linear_gradient("L").resize((pixels, pixels)).convert("RGB")
    noise = Image.effect_noise((pixels, pixels), 24).convert("RGB")
    file = io.BytesIO()
    Image.blend(gradient, noise, 0.5).save(file, "JPEG", quality=80)
    return file.getvalue()


# --- The sides ---


class Boto3:
    """Copies as a program would that uses boto3 and requests with their defaults, in threads."""

    def __init__(self) -> None:
        self._session = requests.Session()
        resource: Any = boto3.resource(
            "s3",
            endpoint_url=os.environ["AWS_S3_ENDPOINT_URL"],
            region_name=os.environ["AWS_S3_REGION_NAME"],
            aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        )
        self._bucket = resource.Bucket(os.environ["AWS_STORAGE_BUCKET_NAME"])

    def prepare(self, files: Files) -> Callable[[], None]:
        """Return what copies the files."""
        url, count, at_once = files

        def copy(number: int) -> None:
            with self._session.get(url, stream=True, timeout=60) as response:
                response.raise_for_status()
                self._bucket.upload_fileobj(response.raw, f"boto3/{number}")

        def copy_all() -> None:
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(copy, range(count)))

        return copy_all


class Limn:
    """Copies with the copier the outputs of generations, one each, that fal has just answered."""

    def __init__(self) -> None:
        django.setup()
        # Models can be imported only after django.setup().
        from django.test import Client  # noqa: PLC0415

        from generations import models  # noqa: PLC0415
        from generations.workers import callback_inbox, copier  # noqa: PLC0415

        self._models, self._inbox, self._copier = models, callback_inbox, copier
        self._client = Client(SERVER_NAME="127.0.0.1", headers={"Authorization": f"Token {os.environ['API_KEY']}"})

    def prepare(self, files: Files) -> Callable[[], None]:
        """Create the generations, and return what copies their files."""
        url, count, at_once = files
        for _ in range(count):
            self._create(url)

        def copy_until_none_is_due(_: int) -> None:
            # A copier that handles one row does so in the calling thread.
            while self._copier.run_once(limit=1):
                connection.close()
            connection.close()

        def copy_all() -> None:
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(copy_until_none_is_due, range(at_once)))
            if missing := self._models.Output.objects.exclude(state="stored").count():
                raise RuntimeError(f"{missing} of {count} files were not copied")

        return copy_all

    def _create(self, url: str) -> None:
        """Order an image, which is submitted to the stand-in for fal, and store the callback that names the file."""
        order = {"model": "flux-schnell", "input": {"prompt": f"a cat {uuid4()}"}}
        answer = self._client.post("/api/v1/generations/", order, content_type="application/json")
        if answer.status_code != 202:
            raise RuntimeError(f"the order was answered with {answer.status_code}: {answer.content!r}")
        submission = self._models.Submission.objects.get(generation=answer.json()["id"])
        message = {"request_id": submission.request_id, "status": "OK", "payload": {"images": [{"url": url}]}}
        body = json.dumps(message).encode()
        stored = self._models.ProviderCallback.objects.create(
            submission=submission,
            request_id=str(submission.request_id),
            body=body,
            body_sha256=hashlib.sha256(body).hexdigest(),
        )
        self._inbox.process(stored)


def run(side: Limn | Boto3) -> None:
    """Answer each line of standard input."""
    for line in sys.stdin:
        asked = json.loads(line)
        copy_all = side.prepare((asked["url"], asked["files"], asked["at_once"]))
        print(json.dumps(_measured(copy_all)), flush=True)


def _measured(copy_all: Callable[[], None]) -> dict[str, float]:
    process = psutil.Process()
    # Sets the peak of the resident memory to its present size.
    Path("/proc/self/clear_refs").write_text("5")
    before, cpu, sandbox_cpu = process.memory_info().rss, time.process_time(), _cpu_of_children(process)
    started = time.perf_counter()
    copy_all()
    return {
        "seconds": time.perf_counter() - started,
        "cpu_ms": 1000 * (time.process_time() - cpu),
        "sandbox_cpu_ms": 1000 * (_cpu_of_children(process) - sandbox_cpu),
        "memory_megabytes": (_peak_bytes() - before) / MEGABYTE,
    }


def _cpu_of_children(process: psutil.Process) -> float:
    times = [child.cpu_times() for child in process.children(recursive=True)]
    ended = sum(child.cpu_times().children_user + child.cpu_times().children_system for child in process.children())
    return ended + sum(each.user + each.system for each in times)


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    match sys.argv[1]:
        case "media":
            serve_media()
        case "limn":
            run(Limn())
        case _:
            run(Boto3())
