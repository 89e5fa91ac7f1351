"""Reading the status of a generation, 200 and 304, compared with a bare DRF view.

The bare view finds the API key and one row in one statement, and answers with the same body, or with 304. Sixteen
connections of sixteen users read sixteen generations that have ended.
"""

from __future__ import annotations

import json
import re

from quality.benchmarks import http_load
from quality.benchmarks.environment import Environment, meter
from quality.benchmarks.floor_server import floor_server
from quality.benchmarks.installation import Limn
from quality.benchmarks.options import Options
from quality.benchmarks.results import Aim, Result
from quality.benchmarks.side import Side

WARM_UP_ROUNDS = 8
LIMITS = {200: 0.5, 304: 0.7}


def measure(environment: Environment, options: Options) -> list[Result]:
    """Measure 200 and 304, each of Limn and of the bare view alternately."""
    results = {
        status: Result(
            row="status",
            what=f"status {status}, 16 at once",
            unit="per second",
            against="a bare DRF view that finds the key and one row in one statement",
            aim=Aim(of="ratio", comparison="≥", limit=limit),
        )
        for status, limit in LIMITS.items()
    }
    with environment.limn(environment.limn_database("status"), workers=1) as limn:
        generation_ids = completed(environment, limn)
        # What is measured is the web server alone.
        limn.stop_workers()
        requests, body = _requests_of_limn(limn, generation_ids)
        with floor_server(environment, tokens=limn.tokens, body=json.loads(body)) as floor:
            floors = _requests_of_floor(limn.tokens)
            groups = meter(environment, limn).groups
            database = {"postgresql": groups["postgresql"]}
            ours = Side("Limn", limn.port, {"server": groups["web"], **database})
            bare = Side("bare view", floor.port, {"server": [floor.pid], **database})
            for status, result in results.items():
                for side, messages in ((ours, requests[status]), (bare, floors[status])):
                    side.load(messages * WARM_UP_ROUNDS, result, status=status)
                for _ in range(options.alternations):
                    for side, messages, values in (
                        (ours, requests[status], result.limn),
                        (bare, floors[status], result.other),
                    ):
                        sent = http_load.cycle(messages)
                        values.append(side.load(sent, result, status=status, seconds=options.seconds))
    results[200].note = f"{len(body):,} bytes"
    return list(results.values())


def completed(environment: Environment, limn: Limn) -> list[str]:
    """Let each user order one image, and wait until all are completed. Returns their ids."""
    environment.fal.forget()
    environment.fal.behave(file_bytes=50_000)
    bodies = [http_load.fetch(limn.port, limn.order(number), (202,)) for number in range(len(limn.tokens))]
    limn.wait_for_completed(len(bodies))
    return [json.loads(body)["id"] for body in bodies]


def _requests_of_limn(limn: Limn, generation_ids: list[str]) -> tuple[dict[int, list[bytes]], bytes]:
    """Return the requests that are answered with 200 and with 304, and the body of a 200."""
    requests: dict[int, list[bytes]] = {200: [], 304: []}
    body = b""
    for number, generation_id in enumerate(generation_ids):
        path = f"/api/v1/generations/{generation_id}/"
        plain = limn.request("GET", path, number)
        load = http_load.closed_loop(limn.port, [plain], connections=1)
        requests[200].append(plain)
        requests[304].append(limn.request("GET", path, number, etag=etag_of(load.head)))
        body = load.body
    return requests, body


def _requests_of_floor(tokens: list[str]) -> dict[int, list[bytes]]:
    requests: dict[int, list[bytes]] = {200: [], 304: []}
    for number, token in enumerate(tokens, 1):
        headers = {"Authorization": f"Token {token}"}
        requests[200].append(http_load.request("GET", f"/rows/{number}/", headers))
        requests[304].append(http_load.request("GET", f"/rows/{number}/", {**headers, "If-None-Match": '"1"'}))
    return requests


def etag_of(head: bytes) -> str:
    """Return the ETag of a response."""
    found = re.search(rb"(?i)\r\netag: *([^\r]+)", head)
    if found is None:
        raise http_load.LoadError("the response has no ETag")
    return found[1].decode()
