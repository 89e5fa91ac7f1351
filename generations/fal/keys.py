"""fal's public keys: fetched, cached for a day, fetched again at most once a minute when none fits.

One thread fetches while all others go on with the keys that they have: a slow key page holds up nobody's callback.
"""

from __future__ import annotations

import base64
import binascii
import logging
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from database.time_scale import scaled
from generations.fal import wire

logger = logging.getLogger(__name__)

# fal's documentation: "cache up to 24 hours, keys rotate".
KEY_LIFETIME_SECONDS = 24 * 3600
# Sixty tries before the day is over: a short outage of the key page at the wrong moment is not noticed.
REFRESH_AHEAD_SECONDS = 3600
# A flood of forgeries must not make us fetch keys for it.
REFETCH_SECONDS = scaled(60)
KEYS_MAX = 32
JWKS_BYTES_MAX = 64 * 1024
# Per socket operation, and in all. fal waits fifteen seconds for our answer.
FETCH_TIMEOUT = httpx.Timeout(3.0)
FETCH_SECONDS_MAX = 5.0
# Just started, nothing can be verified: worth a moment, and no more, while another thread fetches the first keys.
COLD_SECONDS_MAX = 2.0

Keys = tuple[Ed25519PublicKey, ...]


class KeysUnavailable(Exception):
    """There is no key to verify with, now: ask for another delivery."""


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class KeySet:
    """The keys of one JWKS address. Safe to share between threads; each process has its own."""

    url: str
    clock: Callable[[], float] = monotonic
    _keys: Keys = ()
    _fetched_at: float | None = None
    _tried_at: float | None = None
    _idle: threading.Event = field(default_factory=_set)
    """Not set while a thread fetches."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def current(self) -> Keys:
        """The keys to verify with. Raises KeysUnavailable when there are none younger than a day."""
        if self._age_seconds() >= KEY_LIFETIME_SECONDS - REFRESH_AHEAD_SECONDS:
            self.refetch()
        if self._age_seconds() >= KEY_LIFETIME_SECONDS:
            self._idle.wait(COLD_SECONDS_MAX)
        if self._age_seconds() >= KEY_LIFETIME_SECONDS:
            raise KeysUnavailable("fal's keys cannot be fetched")
        return self._keys

    def newer_than(self, known: Keys) -> Keys | None:
        """The key set that has replaced `known`, or None if there is none.

        Raises KeysUnavailable while another thread fetches the keys.
        """
        if self._keys is known and not self.refetch() and not self._idle.is_set():
            # Whoever waited here would hold a thread for every forgery. A true callback comes again.
            raise KeysUnavailable("fal's keys are being fetched")
        return None if self._keys is known else self._keys

    def refetch(self) -> bool:
        """Fetch the keys again, once a minute and one thread at a time. False when nothing new was learned."""
        if not self._may_fetch():
            return False
        try:
            return self._learn(_fetch(self.url))
        except (httpx.HTTPError, wire.InvalidMessage) as error:
            # Keys that we have stay good until their day is over.
            logger.error("fal's keys cannot be fetched", extra={"error": str(error)[:200]})
            return False
        finally:
            self._idle.set()

    def _may_fetch(self) -> bool:
        with self._lock:
            rested = self._tried_at is None or self.clock() - self._tried_at >= REFETCH_SECONDS
            if not rested or not self._idle.is_set():
                return False
            self._idle.clear()
            self._tried_at = self.clock()
            return True

    def _learn(self, keys: Keys) -> bool:
        self._fetched_at = self.clock()
        changed = keys != self._keys
        if changed:
            # Only then: `newer_than` tells old keys from new ones by identity.
            self._keys = keys
        return changed

    def _age_seconds(self) -> float:
        return math.inf if self._fetched_at is None else self.clock() - self._fetched_at


def _fetch(url: str) -> Keys:
    give_up_at = monotonic() + FETCH_SECONDS_MAX
    with httpx.Client(timeout=FETCH_TIMEOUT, follow_redirects=False) as client, client.stream("GET", url) as response:
        if response.status_code != 200:
            raise wire.InvalidMessage(f"{response.status_code} for the keys")
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > JWKS_BYTES_MAX or monotonic() > give_up_at:
                raise wire.InvalidMessage("the key set is absurdly large, or comes absurdly slowly")
    return read_jwks(bytes(body))


def read_jwks(body: bytes) -> Keys:
    """The Ed25519 keys of a JWKS document. Raises wire.InvalidMessage when there is not one."""
    document = wire.read_json(body)
    entries = document.get("keys") if isinstance(document, Mapping) else None
    keys = [key for entry in (entries if isinstance(entries, list) else [])[:KEYS_MAX] if (key := _key(entry))]
    if not keys:
        raise wire.InvalidMessage("no Ed25519 key in the key set")
    return tuple(keys)


def _key(entry: Any) -> Ed25519PublicKey | None:
    x = entry.get("x") if isinstance(entry, Mapping) else None
    if not isinstance(x, str) or entry.get("crv", "Ed25519") != "Ed25519" or not x.isascii():
        return None
    try:
        # Whether fal pads is not known: 43 characters raise without padding, 44 are fine with more of it.
        raw = base64.b64decode(x.rstrip("=") + "=" * (-len(x.rstrip("=")) % 4), altchars=b"-_", validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError):
        return None
