"""Verifies that a callback was signed by fal for the operator's account. No network, no database, no clock.

A valid signature proves little by itself, because fal signs for all of its customers with the same keys. So `verify`
also checks the account and the time, and its caller has to match the token of the URL and the request id with a
submission (docs/fal.md, section 3.2).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# fal's own rule. A callback further off is a replay, or one of the clocks is wrong.
TOLERANCE_SECONDS = 300
HEADER_CHARACTERS_MAX = 200
# The size of the column. fal's request ids are UUIDs.
REQUEST_ID_CHARACTERS_MAX = 100


class InvalidCallback(Exception):
    """The callback is not to be trusted."""


class SignatureMismatch(InvalidCallback):
    """The headers are well-formed, but the signature was made with none of the keys."""


class StaleTimestamp(InvalidCallback):
    """fal signed the callback at another time: a replay, or a wrong clock.

    It is not to be trusted, but its signature is genuine: a reason to ask fal about the request.
    """

    def __init__(self, request_id: str, *, seconds_off: int) -> None:
        super().__init__("the timestamp is more than five minutes off")
        self.request_id = request_id
        self.seconds_off = seconds_off
        """The timestamp minus the current time: negative for an old callback."""


@dataclass(frozen=True, kw_only=True)
class SignedHeaders:
    """The four headers of a callback, well-formed. They prove nothing before `is_signed`."""

    request_id: str
    user_id: str
    """The account at fal that the callback is for."""
    timestamp: str
    """Seconds since the epoch, in decimal digits."""
    signature: bytes

    def seconds_off(self, now: float) -> float:
        """Return the timestamp minus `now`, in seconds."""
        return int(self.timestamp) - now

    def is_for_account(self, user_id: str) -> bool:
        """Return whether the callback is for this account at fal. Compares in constant time."""
        return hmac.compare_digest(self.user_id.encode(), user_id.encode())

    def is_signed(self, body: bytes, keys: Iterable[Ed25519PublicKey]) -> bool:
        """Return whether one of the keys made the signature over these headers and this body."""
        digest = hashlib.sha256(body).hexdigest()
        message = "\n".join((self.request_id, self.user_id, self.timestamp, digest)).encode()
        for key in keys:
            try:
                key.verify(self.signature, message)
            except InvalidSignature:
                continue
            return True
        return False


def read_headers(headers: Mapping[str, str], *, user_id: str | None) -> SignedHeaders:
    """Read the four headers of a callback.

    Args:
        headers: The headers of the request, with names in any case.
        user_id: The operator's account at fal. None if it is not known yet; the caller then checks it.

    Raises:
        InvalidCallback: A header is missing or malformed, or the callback is for another account.
    """
    signature = _header(headers, "Signature")
    if not re.fullmatch(r"[0-9a-fA-F]{128}", signature):
        raise InvalidCallback("the signature is not 64 bytes in hexadecimal digits")
    timestamp = _header(headers, "Timestamp")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise InvalidCallback("the timestamp is not a number of seconds")
    signed = SignedHeaders(
        request_id=_header(headers, "Request-Id", characters_max=REQUEST_ID_CHARACTERS_MAX),
        user_id=_header(headers, "User-Id"),
        timestamp=timestamp,
        signature=bytes.fromhex(signature),
    )
    if user_id is not None and not signed.is_for_account(user_id):
        raise InvalidCallback("signed for another fal account")
    return signed


def verify(
    headers: Mapping[str, str], body: bytes, *, keys: Iterable[Ed25519PublicKey], now: float, user_id: str | None
) -> SignedHeaders:
    """Verify a callback, cheapest checks first.

    Args:
        headers: The headers of the request, with names in any case.
        body: The body exactly as it was received.
        keys: fal's public keys.
        now: Seconds since the epoch.
        user_id: The operator's account at fal. None if it is not known yet; the caller then checks it.

    Raises:
        InvalidCallback: Or SignatureMismatch, or StaleTimestamp if only the time is wrong.
    """
    signed = read_headers(headers, user_id=user_id)
    if not signed.is_signed(body, keys):
        raise SignatureMismatch("signed with none of fal's keys")
    if abs(seconds_off := signed.seconds_off(now)) > TOLERANCE_SECONDS:
        raise StaleTimestamp(signed.request_id, seconds_off=round(seconds_off))
    return signed


def _header(headers: Mapping[str, str], name: str, *, characters_max: int = HEADER_CHARACTERS_MAX) -> str:
    value = headers.get(f"X-Fal-Webhook-{name}", "")
    if not value or len(value) > characters_max or not value.isascii() or not value.isprintable():
        raise InvalidCallback(f"X-Fal-Webhook-{name} is missing or malformed")
    return value
