"""Publishes fal's signing keys at `/.well-known/jwks.json`, and the faults that this endpoint can have.

Tests select a fault with `Simulator.jwks_mode` and read the number of fetches from `Simulator.jwks_fetches`.
"""

from __future__ import annotations

from typing import Literal, get_args

from simulator.http_messages import HttpRequest, HttpResponse, json_response
from simulator.log import Log
from simulator.response_faults import hang
from simulator.signing import FalAccount, as_jwk

PATH = "/.well-known/jwks.json"
HUGE_BYTES = 20_000_000

Mode = Literal["ok", "down", "slow", "garbage", "empty", "padded", "huge"]


class KeyEndpoint:
    """Answers with the published keys, or with the fault of the current mode."""

    def __init__(self, account: FalAccount, log: Log) -> None:
        self._account = account
        self._log = log
        self._mode: Mode = "ok"
        self.fetches = 0

    def set_mode(self, mode: str) -> None:
        """Answer in this mode from now on. Raises ValueError if the mode does not exist."""
        modes = {str(name): name for name in get_args(Mode)}
        if mode not in modes:
            raise ValueError(f"The JWKS endpoint has no mode “{mode}”. Modes: {', '.join(modes)}.")
        self._mode = modes[mode]

    def reset(self) -> None:
        """Restore the mode `ok` and forget the count of fetches."""
        self._mode = "ok"
        self.fetches = 0

    def answer(self, http_request: HttpRequest) -> HttpResponse:
        """Handle `GET /.well-known/jwks.json`."""
        with self._log.locked():
            self.fetches += 1
            # The count is no record, but tests wait for it.
            self._log.notify()
        if self._mode == "down":
            return HttpResponse(status=503, headers={"Content-Type": "text/plain"}, body=b"upstream unavailable")
        if self._mode == "slow":
            return HttpResponse(send=hang)
        if self._mode == "garbage":
            return HttpResponse(headers={"Content-Type": "text/html"}, body=b"<html>Not the keys.</html>")
        if self._mode == "empty":
            return json_response({"keys": []})
        keys = [as_jwk(key, padded=self._mode == "padded") for key in self._account.public_keys()]
        padding = {"padding": "0" * HUGE_BYTES} if self._mode == "huge" else {}
        return json_response({"keys": keys, **padding})
