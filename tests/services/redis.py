"""Runs a real Redis. Without one on the machine these tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from config.management import subprocesses
from config.management.ports import free_port
from tests.services import scratch
from tests.services.waiting import until


@contextmanager
def redis_server() -> Iterator[str]:
    """Run a server for as long as the block lasts. Yields its URL."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is missing. On Debian: apt-get install redis-server")
    with scratch.folder("redis") as folder, (folder / "log").open("wb") as log:
        port = free_port()
        without_files = ("--save", "", "--appendonly", "no", "--dir", folder)
        process = subprocesses.start([program, "--port", str(port), "--bind", "127.0.0.1", *without_files], output=log)
        try:
            url = f"redis://127.0.0.1:{port}/0"
            until(lambda: _answers(url), what="Redis")
            yield url
        finally:
            subprocesses.kill(process)


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
