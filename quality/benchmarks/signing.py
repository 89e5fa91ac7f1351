"""Writes callbacks as fal signs them (docs/fal.md, section 3.2), as complete HTTP requests."""

from __future__ import annotations

import base64
import hashlib
import time
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

USER_ID = "user_benchmark"


class Signer:
    """Signs with one key, whose public half the stand-in for fal publishes."""

    def __init__(self, private_key: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private_key))

    @property
    def public_key(self) -> str:
        """The public key as a JSON Web Key has it."""
        return base64.urlsafe_b64encode(self._key.public_key().public_bytes_raw()).decode().rstrip("=")

    def callback(self, url: str, request_id: str, body: bytes) -> bytes:
        """Return the HTTP request that delivers this body to this URL, signed now."""
        stamp, target = str(int(time.time())), urlsplit(url)
        message = "\n".join((request_id, USER_ID, stamp, hashlib.sha256(body).hexdigest()))
        head = (
            f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nX-Fal-Webhook-Request-Id: {request_id}\r\n"
            f"X-Fal-Webhook-User-Id: {USER_ID}\r\nX-Fal-Webhook-Timestamp: {stamp}\r\n"
            f"X-Fal-Webhook-Signature: {self._key.sign(message.encode()).hex()}\r\n\r\n"
        )
        return head.encode() + body


def new_private_key() -> str:
    """Return a new key in hexadecimal digits."""
    return Ed25519PrivateKey.generate().private_bytes_raw().hex()
