"""Proves that a callback is fal's and meant for us. Pure: headers, bytes, keys and the clock in, a claim out.

A valid signature alone proves little: one key set signs for every fal customer. So the account must be ours, and
the caller still has to match the token in the URL and the request id with an attempt on record.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# fal's own rule: a delivery older or newer than this is a replay or a wrong clock.
TOLERANCE_SECONDS = 300
HEADER_CHARACTERS_MAX = 200
# Longer ones do not fit into our table; fal's are UUIDs.
REQUEST_ID_CHARACTERS_MAX = 100


class InvalidCallback(Exception):
    """Not a callback that we may believe."""


class SignatureMismatch(InvalidCallback):
    """Well-formed, but none of the keys made this signature."""


class StaleTimestamp(InvalidCallback):
    """fal signed it, at another time: a replay, or a wrong clock. Not to be believed; worth asking fal."""

    def __init__(self, request_id: str, *, seconds_off: int) -> None:
        super().__init__("the timestamp is more than five minutes off")
        self.request_id = request_id
        self.seconds_off = seconds_off


@dataclass(frozen=True, kw_only=True)
class SignedHeaders:
    """What the four headers say. Nothing of it is proved until `is_signed`."""

    request_id: str
    user_id: str
    timestamp: str
    signature: bytes

    def seconds_off(self, now: float) -> float:
        return int(self.timestamp) - now

    def is_for_account(self, user_id: str) -> bool:
        return hmac.compare_digest(self.user_id.encode(), user_id.encode())

    def is_signed(self, body: bytes, keys: Iterable[Ed25519PublicKey]) -> bool:
        message = self._message(body)
        return any(_fits(key, self.signature, message) for key in keys)

    def _message(self, body: bytes) -> bytes:
        digest = hashlib.sha256(body).hexdigest()
        return "\n".join((self.request_id, self.user_id, self.timestamp, digest)).encode()


def read_headers(headers: Mapping[str, str], *, user_id: str | None) -> SignedHeaders:
    """The claim in the headers. Raises InvalidCallback for anything but four well-formed ones for our account.

    `user_id` is our account at fal; None leaves that check to a caller who does not know it yet.
    """
    signature = _header(headers, "Signature")
    if not re.fullmatch(r"[0-9a-fA-F]{128}", signature):
        raise InvalidCallback("the signature is not 64 bytes in hex")
    timestamp = _header(headers, "Timestamp")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise InvalidCallback("the timestamp is not a number of seconds")
    claim = SignedHeaders(
        request_id=_header(headers, "Request-Id", characters_max=REQUEST_ID_CHARACTERS_MAX),
        user_id=_header(headers, "User-Id"),
        timestamp=timestamp,
        signature=bytes.fromhex(signature),
    )
    if user_id is not None and not claim.is_for_account(user_id):
        raise InvalidCallback("signed for another fal account")
    return claim


def verify(
    headers: Mapping[str, str], body: bytes, *, keys: Iterable[Ed25519PublicKey], now: float, user_id: str | None
) -> SignedHeaders:
    """The proved claim, cheapest checks first. Raises InvalidCallback."""
    claim = read_headers(headers, user_id=user_id)
    if not claim.is_signed(body, keys):
        raise SignatureMismatch("no key of fal made this signature")
    if abs(seconds_off := claim.seconds_off(now)) > TOLERANCE_SECONDS:
        raise StaleTimestamp(claim.request_id, seconds_off=round(seconds_off))
    return claim


def _header(headers: Mapping[str, str], name: str, *, characters_max: int = HEADER_CHARACTERS_MAX) -> str:
    value = headers.get(f"X-Fal-Webhook-{name}", "")
    if not value or len(value) > characters_max or not value.isascii() or not value.isprintable():
        raise InvalidCallback(f"X-Fal-Webhook-{name} is missing or malformed")
    return value


def _fits(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
