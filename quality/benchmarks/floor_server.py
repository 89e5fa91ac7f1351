"""Runs the views of `floors` on granian, with as many processes and threads as `manage.py serve` has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from config.management.ports import free_port
from quality.benchmarks.environment import Environment
from quality.chaos.processes import ROOT


@dataclass
class FloorServer:
    port: int
    pid: int


def granian(python: str, application: str, port: int) -> list[str]:
    """Return the command that serves a WSGI application as `manage.py serve` does: 2 processes of 8 threads."""
    return [
        *(python, "-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--port", str(port)),
        *("--workers", "2", "--blocking-threads", "8", "--log-level", "error", "--no-access-log"),
        *("--working-dir", str(ROOT), application),
    ]


@contextmanager
def floor_server(environment: Environment, *, tokens: Sequence[str] = (), body: object = None) -> Iterator[FloorServer]:
    """Run the bare views for as long as the block lasts. Each token gets a row with this body, numbered from 1."""
    variables = {
        "FLOOR_DATABASE_URL": environment.database("floors"),
        "FLOOR_PUBLIC_KEY": environment.fal.signer.public_key,
    }
    content = json.dumps({"tokens": list(tokens), "body": body}).encode()
    command = [sys.executable, "-m", "quality.benchmarks.floors"]
    subprocess.run(command, input=content, env={**os.environ, **variables}, cwd=ROOT, check=True)
    port = free_port()
    command = granian(sys.executable, "quality.benchmarks.floors:application", port)
    with environment.server("floors", command, f"http://127.0.0.1:{port}/", **variables) as process:
        yield FloorServer(port, process.pid)
