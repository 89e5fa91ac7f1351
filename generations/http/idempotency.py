"""The identity of a request: its idempotency key and a hash of its body.

With an Idempotency-Key a POST is safe to send again: the API finds the first request by the key, and compares the
hashes, because one key must not stand for two different requests.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Self

from rest_framework.exceptions import ParseError
from rest_framework.request import Request

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, kw_only=True)
class RequestIdentity:
    """What makes two requests the same one."""

    key: str | None
    """The Idempotency-Key, if the client sent one."""
    request_hash: str
    """SHA-256 (hex) of the canonical body, so a key cannot stand for two different requests."""

    @classmethod
    def read(cls, request: Request, **from_url: str) -> Self:
        """Return the identity of this request.

        `from_url` adds what the URL says and the body does not. Raises ParseError.
        """
        key = request.headers.get("Idempotency-Key")
        if key is not None and not _PRINTABLE.fullmatch(key):
            raise ParseError("An Idempotency-Key has 1 to 255 printable ASCII characters.")
        # Sorted, so that the order of the members does not matter.
        canonical = json.dumps(dict(request.data) | from_url, sort_keys=True, separators=(",", ":"))
        return cls(key=key, request_hash=hashlib.sha256(canonical.encode()).hexdigest())
