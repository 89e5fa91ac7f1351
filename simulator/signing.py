"""The fal account that the simulator plays, its API keys, and the Ed25519 keys that sign callbacks.

With a data directory all of it is kept in one file (`keys.json`) that only its owner can read, so that Limn's settings
stay valid after a restart.
"""

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
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KeyName = Literal["current", "unknown", "previous"]


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """The content of `keys.json`. Private keys are 32 bytes in hex."""

    fal_key: str
    user_id: str
    current: str
    previous: str | None = None
    previous_is_published: bool = False


class FalAccount:
    """One customer account, and the keys with which fal signs the callbacks of all customers."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the account from `path`, or create a new one and save it there."""
        self._path = path
        self._lock = threading.Lock()
        if path and path.exists():
            self._secrets = Secrets(**json.loads(path.read_text()))
        else:
            self._secrets = Secrets(
                fal_key=f"{uuid.uuid4()}:{secrets.token_hex(16)}",
                user_id=f"user_{secrets.token_hex(10)}",
                current=_new_private_key(),
            )
        # Signs forged callbacks; never published and never saved.
        self._unknown = _new_private_key()
        self._save()

    @property
    def fal_key(self) -> str:
        """The API key."""
        return self._secrets.fal_key

    @property
    def admin_key(self) -> str:
        """The API key with the ADMIN scope, which billing events and the deletion of payloads require."""
        return f"{self._secrets.fal_key}-admin"

    @property
    def user_id(self) -> str:
        """The account id that callbacks name."""
        return self._secrets.user_id

    def rotate(self, *, keep_previous: bool = True) -> None:
        """Sign with a new key from now on. The previous one stays published if `keep_previous`."""
        with self._lock:
            self._secrets = replace(
                self._secrets,
                current=_new_private_key(),
                previous=self._secrets.current,
                previous_is_published=keep_previous,
            )
            self._save()

    def public_keys(self) -> list[bytes]:
        """Return the published public keys, newest first."""
        published = [self._secrets.current]
        if self._secrets.previous and self._secrets.previous_is_published:
            published.append(self._secrets.previous)
        return [_load_private_key(key).public_key().public_bytes_raw() for key in published]

    def sign(
        self,
        body: bytes,
        *,
        request_id: str,
        user_id: str | None = None,
        timestamp: int | None = None,
        key: KeyName = "current",
    ) -> dict[str, str]:
        """Return the four signature headers of a callback (docs/fal.md).

        Args:
            user_id: The account named in the header; this one by default.
            timestamp: Unix time in seconds; now by default.
            key: `previous` raises ValueError before the first rotation; `unknown` is never published.
        """
        user_id = self.user_id if user_id is None else user_id
        stamp = str(int(time.time()) if timestamp is None else timestamp)
        if key == "previous" and self._secrets.previous is None:
            raise ValueError("There is no previous key yet: rotate the keys first.")
        private_keys = {"current": self._secrets.current, "unknown": self._unknown, "previous": self._secrets.previous}
        message = "\n".join([request_id, user_id, stamp, hashlib.sha256(body).hexdigest()])
        signature = _load_private_key(str(private_keys[key])).sign(message.encode())
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user_id,
            "X-Fal-Webhook-Timestamp": stamp,
            "X-Fal-Webhook-Signature": signature.hex(),
        }

    def _save(self) -> None:
        if self._path is None:
            return
        text = json.dumps(asdict(self._secrets), indent=2)
        # Written to a second file that then replaces the first: a crash leaves the old or the new file, never half.
        draft = self._path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        draft.replace(self._path)


def as_jwk(public_key: bytes, *, padded: bool = False) -> dict[str, str]:
    """Return a public key as a JSON Web Key. `padded` keeps base64 padding, which RFC 7517 forbids."""
    x = base64.urlsafe_b64encode(public_key).decode()
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "x": x if padded else x.rstrip("=")}


def _new_private_key() -> str:
    return Ed25519PrivateKey.generate().private_bytes_raw().hex()


def _load_private_key(private_key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private_key))
