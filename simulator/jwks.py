"""fal's published keys, and the ways in which that page can fail."""

from __future__ import annotations

from typing import Literal, get_args

from simulator.http_messages import Call, Reply, as_json, hang
from simulator.log import Log
from simulator.signing import Identity, as_jwk

PATH = "/.well-known/jwks.json"
HUGE_BYTES = 20_000_000

Mode = Literal["ok", "down", "slow", "garbage", "empty", "padded", "huge"]


class KeyPage:
    """Answers `/.well-known/jwks.json` and counts who asks."""

    def __init__(self, identity: Identity, log: Log) -> None:
        self._identity = identity
        self._log = log
        self.mode: Mode = "ok"
        self.fetches = 0

    def switch(self, mode: str) -> None:
        known = {str(name): name for name in get_args(Mode)}
        if mode not in known:
            raise ValueError(f"The JWKS page has no mode “{mode}”. Modes: {', '.join(known)}.")
        self.mode = known[mode]

    def answer(self, call: Call) -> Reply:
        with self._log.together():
            self.fetches += 1
            self._log.notify()
        if self.mode == "down":
            return Reply(status=503, headers={"Content-Type": "text/plain"}, body=b"upstream unavailable")
        if self.mode == "slow":
            return Reply(manner=hang)
        if self.mode == "garbage":
            return Reply(headers={"Content-Type": "text/html"}, body=b"<html>Not the keys you are looking for.</html>")
        return self._keys()

    def _keys(self) -> Reply:
        if self.mode == "empty":
            return as_json({"keys": []})
        keys = [as_jwk(key, padded=self.mode == "padded") for key in self._identity.public_keys()]
        body: dict[str, object] = {"keys": keys}
        if self.mode == "huge":
            body["padding"] = "0" * HUGE_BYTES
        return as_json(body)
