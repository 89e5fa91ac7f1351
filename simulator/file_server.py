"""The file server: hands out the drawn files, with the faults that were ordered for them."""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from simulator.http_messages import (
    Call,
    Manner,
    Reply,
    as_json,
    cut_without_length,
    declared_huge,
    drip,
    endless,
    truncated,
)
from simulator.log import Log
from simulator.outcomes import Studio
from simulator.records import File, Request, Served
from simulator.scenarios import Scenario, read

BOMB_MEGABYTES = 100
EXPIRES_AFTER_SECONDS = 5.0
ERROR_PAGE = b"<!doctype html><title>Error</title><h1>The file could not be loaded</h1>"

MANNERS: Mapping[str, Manner] = {
    "truncated": truncated,
    "cut_nolen": cut_without_length,
    "endless": endless,
    "drip": drip,
    "huge": declared_huge,
}


class FileServer:
    """Answers `/files/…`. Public, like fal's: whoever knows the address may read."""

    def __init__(self, *, log: Log, studio: Studio, canary_url: str, speed: float) -> None:
        self._log = log
        self._studio = studio
        self._canary_url = canary_url
        self._speed = speed
        self._faults: Counter[tuple[str, str]] = Counter()

    def answer(self, call: Call) -> Reply:
        file = self._log.file(call.path)
        request = self._log.request(file.request_id) if file else None
        if file is None or request is None:
            return self._noted(call, None, None, _refusal(404))
        fault = self._fault(request, file)
        reply = self._true_reply(file)
        return self._noted(call, file, fault, self._spoiled(reply, fault) if fault else reply)

    def forget(self) -> None:
        self._faults.clear()

    def _true_reply(self, file: File) -> Reply:
        headers = {"Content-Type": file.content_type, "Access-Control-Allow-Origin": "*"}
        return Reply(headers=headers, body=self._studio.bytes_of(file))

    def _fault(self, request: Request, file: File) -> str | None:
        for scenario in read(request.scenarios).all("cdn"):
            if scenario.covers(file.position) and self._happens(scenario, request, file):
                return scenario.choice
        return None

    def _happens(self, scenario: Scenario, request: Request, file: File) -> bool:
        if scenario.choice == "expires":
            age = time.time() - (request.completed_at or time.time())
            return age * self._speed >= EXPIRES_AFTER_SECONDS
        key = (file.path, scenario.written)
        with self._log.together():
            self._faults[key] += 1
            return scenario.lasts(self._faults[key] - 1)

    def _spoiled(self, reply: Reply, fault: str) -> Reply:
        if fault in MANNERS:
            return replace(reply, manner=MANNERS[fault])
        if fault.isdigit():
            return _refusal(int(fault))
        if fault == "bomb":
            return replace(reply, headers={**reply.headers, "Content-Encoding": "gzip"}, body=_bomb())
        others = {
            "html": Reply(headers={"Content-Type": "image/png"}, body=ERROR_PAGE),
            "redirect": Reply(status=302, headers={"Location": f"{self._canary_url}/files/elsewhere"}),
            "wrong_type": replace(reply, headers={**reply.headers, "Content-Type": "text/html"}),
            "expires": _refusal(404),
        }
        return others[fault]

    def _noted(self, call: Call, file: File | None, fault: str | None, reply: Reply) -> Reply:
        self._log.add(
            Served(
                at=time.time(),
                path=call.path,
                request_id=file.request_id if file else None,
                role=file.role if file else None,
                status=reply.status,
                fault=fault,
                sha256=file.sha256 if file else None,
                headers=dict(call.headers),
            )
        )
        return reply


def _refusal(status: int) -> Reply:
    return as_json({"detail": "The file is not here."}, status, {"Retry-After": "1"} if status == 429 else {})


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    # wbits 31 asks zlib for a gzip wrapper.
    packer = zlib.compressobj(level=9, wbits=31)
    megabyte = bytes(1024**2)
    return b"".join([packer.compress(megabyte) for _ in range(BOMB_MEGABYTES)] + [packer.flush()])
