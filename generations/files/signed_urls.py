"""Creates URLs with which a file can be read or uploaded without a login, for a limited time.

With a bucket they are presigned URLs of the bucket. Without one they are URLs of Limn's API with a signed `ticket`,
which the API checks with `allows_reading` and `allows_upload`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.urls import get_script_prefix, reverse

from database import clock
from generations.files import storage
from generations.files.media_types import TYPES
from generations.models import Output, Upload

# Two salts, so that a ticket for reading a file is none for uploading it.
_READING_SALT = "generations.files.signed_urls"
_UPLOAD_SALT = "generations.files.signed_urls.put"
_PLACEHOLDER = UUID(int=0)
# application/octet-stream, the type of FBX, says nothing about a file: there the key tells the extension.
_EXTENSIONS = {
    content_type: extension
    for extension, (_, content_type) in TYPES.items()
    if content_type != "application/octet-stream"
}


@dataclass(frozen=True, kw_only=True)
class SignedUrl:
    url: str
    """Absolute if it is of the bucket; a path without a host if it is Limn's own."""
    expires_at: datetime


class ReadableFile(Protocol):
    """A stored file that a client may read: an output, an upload, or the thumbnail of an upload."""

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
    """The thumbnail of an upload, as a `ReadableFile`."""

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
        """Identifies the thumbnail's bytes, which follow from the image's. It is not their hash."""
        return f"{self.upload.sha256}-small"


def for_reading(file: Output | Upload) -> SignedUrl:
    """Return a new URL for the owner of a file, valid for SIGNED_URL_SECONDS."""
    # Computed before anything is signed, so that it is never later than the end of the signature.
    expires_at = _after(settings.SIGNED_URL_SECONDS)
    url = None
    if settings.AWS_S3_CUSTOM_DOMAIN:
        url = storage.signed_url_on_domain(
            settings.AWS_S3_CUSTOM_DOMAIN,
            file.key,
            seconds=settings.SIGNED_URL_SECONDS,
            file_name=download_name(file),
            content_type=file.content_type,
        )
    url = url or in_bucket(file) or _own_url(file, expires_at)
    return SignedUrl(url=url, expires_at=expires_at)


def for_fal(file: Output | Upload, *, seconds: int) -> str:
    """Return an absolute URL at which fal can fetch the file for this many seconds."""
    return in_bucket(file, seconds=seconds) or f"{settings.SITE_URL}{_own_url(file, _after(seconds))}"


def for_upload(upload: Upload) -> str:
    """Return the URL to which the owner of an upload can PUT its bytes until it expires."""
    seconds = max(1, int((upload.expires_at - clock.now()).total_seconds()))
    url = storage.signed_upload_url(
        upload.incoming_key,
        content_type=upload.declared_type,
        size_bytes=upload.declared_size_bytes,
        seconds=seconds,
    )
    return url or _with_ticket("api:upload-content", upload.pk, upload.expires_at, _UPLOAD_SALT)


def in_bucket(file: ReadableFile, *, seconds: int | None = None) -> str | None:
    """Return a signed URL of the bucket, valid for SIGNED_URL_SECONDS by default. None without a bucket."""
    return storage.signed_url(
        file.key,
        seconds=seconds or settings.SIGNED_URL_SECONDS,
        file_name=download_name(file),
        content_type=file.content_type,
    )


def allows_reading(ticket: str, file_id: UUID) -> bool:
    """Return whether the ticket of a URL is valid for reading this output or upload."""
    return _is_valid(ticket, file_id, _READING_SALT)


def allows_upload(ticket: str, upload_id: UUID) -> bool:
    """Return whether the ticket of a URL is valid for uploading the bytes of this upload."""
    return _is_valid(ticket, upload_id, _UPLOAD_SALT)


def download_name(file: ReadableFile) -> str:
    """Return the name under which a browser saves the file: plain ASCII, and different for each file."""
    extension = file.key.rpartition(".")[2] if file.content_type not in _EXTENSIONS else ""
    extension = _EXTENSIONS.get(file.content_type) or (extension if extension.isalnum() else "bin")
    if isinstance(file, Output):
        return f"limn-{file.generation_id.hex[-12:]}-{file.index}.{extension[:8]}"
    return f"limn-upload-{file.sha256[:12]}.{extension[:8]}"


def _own_url(file: Output | Upload, expires_at: datetime) -> str:
    name = "api:output-content" if isinstance(file, Output) else "api:upload-content"
    return _with_ticket(name, file.pk, expires_at, _READING_SALT)


def _with_ticket(name: str, file_id: UUID, expires_at: datetime, salt: str) -> str:
    before, after = _path_around_id(name, get_script_prefix())
    ticket = signing.dumps([str(file_id), int(expires_at.timestamp())], salt=salt)
    return f"{before}{file_id}{after}?ticket={ticket}"


@lru_cache(maxsize=16)
def _path_around_id(name: str, script_prefix: str) -> tuple[str, str]:
    """Return what comes before and after the id in the path of a view. `reverse` takes a hundred calls.

    `reverse` adds the prefix of the site itself; here it only tells the entries apart.
    """
    before, after = reverse(name, args=[_PLACEHOLDER]).split(str(_PLACEHOLDER))
    return before, after


def _is_valid(ticket: str, file_id: UUID, salt: str) -> bool:
    try:
        signed_id, expires_at = signing.loads(ticket, salt=salt)
    except (signing.BadSignature, ValueError, TypeError):
        return False
    return bool(signed_id == str(file_id) and clock.now().timestamp() <= expires_at)


def _after(seconds: int) -> datetime:
    # Whole seconds, as in the ticket.
    return clock.now().replace(microsecond=0) + timedelta(seconds=seconds)
