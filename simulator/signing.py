"""The account, fal's signing keys, and what is signed with them. Kept in one file that only its owner reads."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import threading
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KeyName = Literal["current", "unknown", "previous"]


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What must survive a restart. Private keys are 32 bytes in hex."""

    fal_key: str
    user_id: str
    current: str
    previous: str | None = None
    previous_is_published: bool = False


class Identity:
    """One fal account, and the keys with which fal signs for all of its customers."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._secrets = _load(path) if path and path.exists() else _invent()
        self._unknown = _new_private_key()
        self._save()

    @property
    def fal_key(self) -> str:
        return self._secrets.fal_key

    @property
    def admin_key(self) -> str:
        """The one that sees the bill."""
        return f"{self._secrets.fal_key}-admin"

    @property
    def user_id(self) -> str:
        return self._secrets.user_id

    def rotate(self, *, keep_previous: bool = True) -> None:
        """Sign with a new key from now on; the old one stays published or vanishes at once."""
        with self._lock:
            old = self._secrets.current
            self._secrets = replace(
                self._secrets, current=_new_private_key(), previous=old, previous_is_published=keep_previous
            )
            self._save()

    def public_keys(self) -> list[bytes]:
        """The published ones, newest first."""
        published = [self._secrets.current]
        if self._secrets.previous and self._secrets.previous_is_published:
            published.append(self._secrets.previous)
        return [_key(private).public_key().public_bytes_raw() for private in published]

    def sign(
        self,
        body: bytes,
        *,
        request_id: str,
        user_id: str | None = None,
        timestamp: int | None = None,
        key: KeyName = "current",
    ) -> dict[str, str]:
        """The four headers of a callback (fal-facts.md §3.2)."""
        user_id = self.user_id if user_id is None else user_id
        stamp = str(int(time.time()) if timestamp is None else timestamp)
        message = "\n".join([request_id, user_id, stamp, hashlib.sha256(body).hexdigest()])
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user_id,
            "X-Fal-Webhook-Timestamp": stamp,
            "X-Fal-Webhook-Signature": self._private(key).sign(message.encode()).hex(),
        }

    def _private(self, name: KeyName) -> Ed25519PrivateKey:
        if name == "previous" and self._secrets.previous is None:
            raise ValueError("There is no previous key yet: rotate the keys first.")
        known = {"current": self._secrets.current, "unknown": self._unknown, "previous": self._secrets.previous}
        return _key(str(known[name]))

    def _save(self) -> None:
        if self._path is None:
            return
        text = json.dumps(asdict(self._secrets), indent=2)
        # Written beside and moved into place: a crash leaves the old file or the new one, never half of one.
        draft = self._path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        draft.replace(self._path)


def as_jwk(public_key: bytes, *, padded: bool = False) -> dict[str, str]:
    x = base64.urlsafe_b64encode(public_key).decode()
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "x": x if padded else x.rstrip("=")}


def _invent() -> Secrets:
    return Secrets(
        fal_key=f"{uuid.uuid4()}:{secrets.token_hex(16)}",
        user_id=f"user_{secrets.token_hex(10)}",
        current=_new_private_key(),
    )


def _load(path: Path) -> Secrets:
    found: dict[str, Any] = json.loads(path.read_text())
    return Secrets(**found)


def _new_private_key() -> str:
    return Ed25519PrivateKey.generate().private_bytes_raw().hex()


def _key(private: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private))
