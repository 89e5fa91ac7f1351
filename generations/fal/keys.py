"""fal's public keys for callbacks: fetched from its JWKS page and cached for a day.

The callback view asks a `KeySet` for the keys. While one thread fetches, the others continue with the keys they have,
so a slow page does not hold up callbacks. Keys are fetched at most once a minute, so forged signatures cannot make
Limn flood the page.
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

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from generations.fal import wire

logger = logging.getLogger(__name__)

# fal's documentation, November 2026: keys may be cached for up to 24 hours, and they rotate.
KEY_LIFETIME_SECONDS = 24 * 3600
# The keys are fetched again an hour before they expire: sixty attempts, so that a short outage of the page does no
# harm.
REFRESH_AHEAD_SECONDS = 3600
REFETCH_SECONDS = 60.0
KEYS_MAX = 32
JWKS_BYTES_MAX = 64 * 1024
# For each socket operation, and for the whole fetch. fal waits 15 seconds for the response to a callback.
FETCH_TIMEOUT = httpx.Timeout(3.0)
FETCH_SECONDS_MAX = 5.0
# How long a callback waits for the first keys of a process. Longer waits would use up the threads of the web server.
FIRST_KEYS_SECONDS_MAX = 2.0

Keys = tuple[Ed25519PublicKey, ...]


class KeysUnavailable(Exception):
    """There are no keys to verify with at the moment. fal should deliver the callback again."""


@dataclass
class KeySet:
    """The keys of one JWKS page. Safe to share between threads; every process has its own."""

    url: str
    refetch_seconds: float = REFETCH_SECONDS
    """The keys are fetched at most once in this time."""
    clock: Callable[[], float] = monotonic
    _keys: Keys = ()
    _fetched_at: float | None = None
    _tried_at: float | None = None
    _idle: threading.Event = field(default_factory=threading.Event)
    """Cleared while a thread fetches."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._idle.set()

    def current(self) -> Keys:
        """Return the keys to verify with. Raises KeysUnavailable if there are none younger than a day."""
        if self._age_seconds() >= KEY_LIFETIME_SECONDS - REFRESH_AHEAD_SECONDS:
            self.refetch()
        if self._age_seconds() >= KEY_LIFETIME_SECONDS:
            # Another thread may be fetching the first keys of this process.
            self._idle.wait(FIRST_KEYS_SECONDS_MAX)
        if self._age_seconds() >= KEY_LIFETIME_SECONDS:
            raise KeysUnavailable("fal's keys cannot be fetched")
        return self._keys

    def newer_than(self, known: Keys) -> Keys | None:
        """Return keys to try after none of the `known` ones made a signature, or None if there are no others.

        Args:
            known: What `current` returned: the same object, not a copy.

        Raises:
            KeysUnavailable: Another thread is fetching the keys.
        """
        if self._keys is known and not self.refetch() and not self._idle.is_set():
            # Waiting here would hold a thread for every forged callback. fal delivers a genuine one again.
            raise KeysUnavailable("fal's keys are being fetched")
        return None if self._keys is known else self._keys

    def refetch(self) -> bool:
        """Fetch the keys unless a thread did so within the last minute or is doing so. True if they changed."""
        with self._lock:
            tried_recently = self._tried_at is not None and self.clock() - self._tried_at < self.refetch_seconds
            if tried_recently or not self._idle.is_set():
                return False
            self._idle.clear()
            self._tried_at = self.clock()
        # Outside of the lock, which other threads need in order to learn that they should not fetch.
        try:
            keys = _fetch(self.url)
            self._fetched_at = self.clock()
            has_changed = keys != self._keys
            if has_changed:
                # `newer_than` compares by identity, so equal keys must stay the same object.
                self._keys = keys
            return has_changed
        except (httpx.HTTPError, wire.InvalidMessage) as error:
            # Keys that were fetched before stay valid until their day is over.
            logger.error("fal's keys cannot be fetched", extra={"error": str(error)[:200]})
            return False
        finally:
            self._idle.set()

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
            # httpx limits single reads only: a page that sends a byte a second would never end.
            if len(body) > JWKS_BYTES_MAX or monotonic() > give_up_at:
                raise wire.InvalidMessage("the key set is too large or arrives too slowly")
    return read_jwks(bytes(body))


def read_jwks(body: bytes) -> Keys:
    """Return the Ed25519 keys of a JWKS document, at most 32. Other keys are ignored.

    Raises:
        wire.InvalidMessage: The body is not a JWKS document, or has no Ed25519 key.
    """
    document = wire.read_json(body)
    entries = document.get("keys") if isinstance(document, Mapping) else None
    keys = []
    for entry in entries[:KEYS_MAX] if isinstance(entries, list) else ():
        x = entry.get("x") if isinstance(entry, Mapping) else None
        if not isinstance(x, str) or entry.get("crv", "Ed25519") != "Ed25519" or not x.isascii():
            continue
        # Whether fal pads its keys is not known (docs/fal.md, section 3.2); Python's decoder requires padding.
        unpadded = x.rstrip("=")
        try:
            raw = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), altchars=b"-_", validate=True)
            keys.append(Ed25519PublicKey.from_public_bytes(raw))
        except (binascii.Error, ValueError):
            continue
    if not keys:
        raise wire.InvalidMessage("the key set has no Ed25519 key")
    return tuple(keys)
