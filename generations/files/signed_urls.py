"""Addresses at which a file can be fetched without logging in, for a while."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.urls import reverse
from django.utils import timezone

from generations.files import storage
from generations.models import Output, Upload

_SALT = "generations.files.signed_urls"
_PUT_SALT = "generations.files.signed_urls.put"
# Named by what a file proved to be, never by what somebody called it.
_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/quicktime": "mov",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "model/gltf-binary": "glb",
}


@dataclass(frozen=True, kw_only=True)
class Link:
    url: str
    """Of the bucket; or our own, without a host."""
    expires_at: datetime


class Stored(Protocol):
    """A file of ours that can be read: what an address and an answer must know of it."""

    @property
    def key(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def size_bytes(self) -> int | None: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class Thumbnail:
    """An upload, small."""

    upload: Upload
    content_type = "image/webp"

    @property
    def key(self) -> str:
        return self.upload.thumbnail_key

    @property
    def size_bytes(self) -> int | None:
        return self.upload.thumbnail_size_bytes

    @property
    def sha256(self) -> str:
        # A name for these bytes as well: they follow from the picture's.
        return f"{self.upload.sha256}-small"


def to(file: Output | Upload) -> Link:
    """A fresh address of a stored file, straight from the bucket where there is one."""
    # Before signing, so that it never promises more than the signature keeps.
    expires_at = _in(settings.SIGNED_URL_SECONDS)
    return Link(url=_on_our_domain(file) or from_bucket(file) or _from_us(file, expires_at), expires_at=expires_at)


def for_fal(file: Output | Upload, *, seconds: int) -> str:
    """Where fal can fetch it for so long."""
    return from_bucket(file, seconds=seconds) or f"{settings.SITE_URL}{_from_us(file, _in(seconds))}"


def to_put(upload: Upload) -> str:
    """Where the owner of this upload may put its bytes until it expires: into the bucket, or to us."""
    seconds = max(1, int((upload.expires_at - timezone.now()).total_seconds()))
    address = storage.signed_put(
        upload.incoming_key,
        content_type=upload.announced_type,
        size_bytes=upload.announced_size_bytes,
        seconds=seconds,
    )
    return address or _with_ticket("api:upload-content", upload.pk, upload.expires_at, _PUT_SALT)


def from_bucket(file: Stored, *, seconds: int | None = None) -> str | None:
    """A signed address of the bucket; None when the files lie in a folder of ours."""
    return storage.signed_url(
        file.key,
        seconds=seconds or settings.SIGNED_URL_SECONDS,
        file_name=file_name(file),
        content_type=file.content_type,
    )


def _on_our_domain(file: Stored) -> str | None:
    """Under the owner's own name, where there is one."""
    if not settings.AWS_S3_CUSTOM_DOMAIN:
        return None
    return storage.url_on(
        settings.AWS_S3_CUSTOM_DOMAIN,
        file.key,
        seconds=settings.SIGNED_URL_SECONDS,
        file_name=file_name(file),
        content_type=file.content_type,
    )


def opens(ticket: str, file_id: UUID) -> bool:
    """Whether this ticket, out of an address of ours, still opens this file."""
    return _is_for(ticket, file_id, _SALT)


def lets_put(ticket: str, upload_id: UUID) -> bool:
    """Whether this ticket, out of an address of ours, still lets its bearer put this upload."""
    return _is_for(ticket, upload_id, _PUT_SALT)


def file_name(file: Stored) -> str:
    """Plain ASCII, and unlike that of any other file in a folder of downloads."""
    extension = file.key.rpartition(".")[2] if file.content_type not in _EXTENSIONS else ""
    extension = _EXTENSIONS.get(file.content_type) or (extension if extension.isalnum() else "bin")
    if isinstance(file, Output):
        return f"limn-{file.generation_id.hex[-12:]}-{file.index}.{extension[:8]}"
    return f"limn-upload-{file.sha256[:12]}.{extension[:8]}"


def _from_us(file: Output | Upload, until: datetime) -> str:
    name = "api:output-content" if isinstance(file, Output) else "api:upload-content"
    return _with_ticket(name, file.pk, until, _SALT)


def _with_ticket(name: str, file_id: UUID, until: datetime, salt: str) -> str:
    ticket = signing.dumps([str(file_id), int(until.timestamp())], salt=salt)
    return f"{reverse(name, args=[file_id])}?ticket={ticket}"


def _is_for(ticket: str, file_id: UUID, salt: str) -> bool:
    try:
        name, until = signing.loads(ticket, salt=salt)
    except (signing.BadSignature, ValueError, TypeError):
        return False
    return bool(name == str(file_id) and time.time() <= until)


def _in(seconds: int) -> datetime:
    return timezone.now().replace(microsecond=0) + timedelta(seconds=seconds)
