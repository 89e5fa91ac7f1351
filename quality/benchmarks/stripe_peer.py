"""Runs dj-stripe's webhook endpoint, the peer of Limn's callbacks: it stores a trigger and an event for each request.

dj-stripe has an environment of its own in `.cache/`, which is installed from PyPI at the first use.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from config.management.ports import free_port
from quality.benchmarks import http_load
from quality.benchmarks.environment import Environment
from quality.benchmarks.floor_server import granian
from quality.chaos.processes import ROOT

REQUIREMENTS = ("dj-stripe==2.11.0", "django>=5.2,<5.3", "granian>=2.8.7,<3", "psycopg[binary]>=3.3.9,<4")
FOLDER = ROOT / ".cache/benchmarks/dj-stripe"
SECRET = "whsec_only_for_benchmarks"
# For the number of events that are sent in an alternation.
GUESS_PER_SECOND = 150
_MODULE = "quality.benchmarks.stripe_application"


@dataclass
class StripePeer:
    """The running endpoint."""

    port: int
    pid: int
    path: str

    def events(self, count: int) -> list[bytes]:
        """Return requests with new events, correctly signed."""
        return [self._event() for _ in range(count)]

    def _event(self) -> bytes:
        # Nothing of dj-stripe handles this type, so it stores the event and does no more.
        message = {
            "id": f"evt_{uuid4().hex}",
            "object": "event",
            "api_version": "2020-08-27",
            "created": int(time.time()),
            "data": {"object": {"object": "balance", "available": [], "note": "x" * 1200}},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": "balance.available",
        }
        body, stamp = json.dumps(message).encode(), int(time.time())
        signature = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return http_load.request("POST", self.path, {"Stripe-Signature": f"t={stamp},v1={signature}"}, body)


@contextmanager
def server(environment: Environment) -> Iterator[StripePeer]:
    """Run the endpoint for as long as the block lasts."""
    python = str(installed())
    variables = {"PEER_DATABASE_URL": environment.database("stripe")}
    command = [python, "-m", _MODULE]
    created = subprocess.run(
        command, env={**os.environ, **variables}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if created.returncode:
        raise RuntimeError(f"dj-stripe could not be set up: {created.stderr[-1000:]}")
    port = free_port()
    command = granian(python, f"{_MODULE}:application", port)
    with environment.server("dj-stripe", command, f"http://127.0.0.1:{port}/", **variables) as process:
        yield StripePeer(port, process.pid, created.stdout.strip())


def installed() -> Path:
    """Return the Python of dj-stripe's environment, which is made at the first use."""
    python, marker = FOLDER / "bin/python", FOLDER / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS) + "\n"
    if marker.exists() and marker.read_text() == wanted:
        return python
    print("Installing dj-stripe", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    uv = shutil.which("uv") or shutil.which(ROOT / ".tool/bin/uv")
    if uv:
        commands = [[uv, "venv", "--quiet", "--python", sys.executable, str(FOLDER)]]
        commands.append([uv, "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS])
    else:
        commands = [[sys.executable, "-m", "venv", str(FOLDER)]]
        commands.append([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS])
    for command in commands:
        subprocess.run(command, check=True)
    marker.write_text(wanted)
    return python
