"""Images that customers upload in order to use them as input files.

The API creates an upload, the client PUTs the bytes to its URL and completes it; a page or a form does the same in one
call. Completing sanitizes the image in the sandbox and stores the result under keys that no other attempt uses
(`write_attempts`). So bytes that are PUT later, while the URL is still valid, change nothing: they are deleted and
never read. Nor does a process that was suspended bring an erased image back.

The errors are those of `upload_errors`.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db import transaction
from django.db.models import Case, QuerySet, Sum, When
from django.db.models.functions import Coalesce, Greatest
from django.http import UnreadablePostError

from credits.models import Account
from database import clock
from generations.catalogue.files import MEGABYTE
from generations.errors import DomainError
from generations.files import sandbox, storage, storage_mark, write_attempts
from generations.files.media_types import NotMedia, TooCostly
from generations.files.sanitizing import THUMBNAIL_TYPE
from generations.files.storage import Measured
from generations.files.upload_errors import (
    Expired,
    InProgress,
    Mismatch,
    NotAnImage,
    NotUploaded,
    QuotaExceeded,
    StorageUnavailable,
    UploadError,
    UploadInUse,
)
from generations.jobs import leases
from generations.models import Upload, WriteAttempt

__all__ = [
    "BYTES_MAX",
    "COMPLETE_WITHIN",
    "PUT_SECONDS",
    "TYPES",
    "Expired",
    "InProgress",
    "Mismatch",
    "NotAnImage",
    "NotUploaded",
    "QuotaExceeded",
    "StorageUnavailable",
    "UploadError",
    "UploadInUse",
    "bytes_used",
    "clean_up",
    "complete",
    "create",
    "create_from_form",
    "erase",
    "receive",
]
logger = logging.getLogger(__name__)

BYTES_MAX = 50 * MEGABYTE
TYPES = ("image/png", "image/jpeg", "image/webp")
# Enough for 50 MB on a slow line. Everyone who knows the URL can PUT, so it is not valid for longer.
PUT_SECONDS = 600
COMPLETE_WITHIN = timedelta(hours=1)
# Short, because it is renewed while the work lasts: the upload of a killed process is free again soon.
LEASE_SECONDS = 15
CHUNK_BYTES = 256 * 1024


def create(account: Account, *, file_name: str, content_type: str, size_bytes: int) -> Upload:
    """Declare an image. Its bytes can be uploaded for PUT_SECONDS.

    Args:
        file_name: As the customer calls it; only shown.
        content_type: One of TYPES. Empty for an image that comes with a form.
        size_bytes: Its exact length.

    Raises:
        QuotaExceeded: All uploads of the account together would use more than UPLOAD_MEGABYTES_MAX.
        StorageUnavailable: The storage belongs to another deployment.
    """
    _require_own_storage()
    with transaction.atomic():
        # Without the lock, two uploads at the same time could both take the last free space.
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        used = bytes_used(account)
        if used + size_bytes > settings.UPLOAD_MEGABYTES_MAX * MEGABYTE:
            raise QuotaExceeded(
                f"Your uploads may use {settings.UPLOAD_MEGABYTES_MAX} MB, and they use {used // MEGABYTE} MB. "
                "Delete uploads that you no longer need."
            )
        return Upload.objects.create(
            account=account,
            file_name=file_name,
            declared_type=content_type,
            declared_size_bytes=size_bytes,
            expires_at=clock.now().replace(microsecond=0) + timedelta(seconds=PUT_SECONDS),
        )


def receive(upload: Upload, stream: IO[bytes]) -> None:
    """Store the bytes of an upload that a client PUTs to Limn because there is no bucket.

    Raises:
        Expired, Mismatch, InProgress, StorageUnavailable.
    """
    if upload.expires_at <= clock.now():
        raise Expired
    with _storage_errors(), tempfile.TemporaryFile() as file:
        _copy(stream, file, upload.declared_size_bytes)
        # Checked after the bytes have arrived: from a slow client they may take so long that the upload is completed or
        # cleaned up meanwhile.
        if not Upload.objects.filter(pk=upload.pk, state=Upload.State.PENDING, cleaned_up_at=None).exists():
            raise Expired
        # With the lease, because an erasure at this moment would otherwise find nothing stored and leave these bytes.
        with _leased(upload) as leased:
            storage.put(leased.incoming_key, file, content_type=leased.declared_type)


def complete(upload: Upload) -> Upload:
    """Sanitize the uploaded bytes and make the upload ready. Repeated calls give the same result.

    Two concurrent calls do the work once: the second raises InProgress.

    Raises:
        NotUploaded, InProgress, NotAnImage, Expired, StorageUnavailable, SandboxUnavailable. After the last two it can
        be completed later.
    """
    if upload.state == Upload.State.READY:
        return upload
    if upload.state == Upload.State.REFUSED:
        raise NotAnImage(upload.detail)
    if upload.state != Upload.State.PENDING or upload.created_at < clock.now() - COMPLETE_WITHIN:
        raise Expired
    with _leased(upload) as leased, _storage_errors(), tempfile.TemporaryFile() as file:
        try:
            storage.download(leased.incoming_key, file, bytes_max=BYTES_MAX)
        except FileNotFoundError:
            raise NotUploaded from None
        # Without the lease the result is not recorded, and the process that holds it needs the uploaded bytes.
        if _process(leased, file):
            storage.delete(leased.incoming_key)
    return _conclude(upload)


def create_from_form(account: Account, file: IO[bytes], *, file_name: str, size_bytes: int) -> Upload:
    """Create and complete an upload whose bytes came with a form.

    Raises:
        QuotaExceeded, NotAnImage, Mismatch, StorageUnavailable, SandboxUnavailable.
    """
    if size_bytes > BYTES_MAX:
        raise NotAnImage(f"an image has at most {BYTES_MAX // MEGABYTE} MB")
    upload = create(account, file_name=file_name, content_type="", size_bytes=size_bytes)
    with _leased(upload) as leased, _storage_errors(), tempfile.TemporaryFile() as copy:
        _copy(file, copy, size_bytes)
        _process(leased, copy)
    return _conclude(upload)


def erase(upload: Upload) -> bool:
    """Delete the files of an upload. The row remains, because generations refer to it.

    Returns:
        False if it was erased before.

    Raises:
        UploadInUse, StorageUnavailable.
    """
    _require_own_storage()
    with transaction.atomic():
        # Orders lock the row as well. So an order at this moment either is found here, or finds the upload erased.
        locked = Upload.objects.select_for_update(no_key=True).get(pk=upload.pk)
        if locked.state == Upload.State.ERASED:
            return False
        if locked.uses.needed().exists():
            raise UploadInUse
        # If this process dies before the files are deleted, or bytes are PUT afterwards, `clean_up` finds the row.
        Upload.objects.filter(pk=upload.pk).update(state=Upload.State.ERASED, cleaned_up_at=None, file_name="")
    with _storage_errors():
        storage_mark.guard.verify_now()
        _delete_files(locked)
    _mark_cleaned_up(locked)
    return True


def bytes_used(account: Account) -> int:
    """Return how many bytes of its upload quota the account uses."""
    stored = Upload.objects.filter(account=account).counted_in_quota()
    # Until an upload is cleaned up, the declared bytes may be stored, or be PUT again, beside the sanitized image.
    not_cleaned_up = Greatest(Coalesce("size_bytes", 0), "declared_size_bytes")
    counted = Case(When(cleaned_up_at=None, then=not_cleaned_up), default="size_bytes")
    return int(stored.aggregate(bytes=Sum(counted))["bytes"] or 0)


def clean_up(*, limit: int) -> int:
    """Expire uploads that were not completed in time, and delete what was PUT to URLs that are valid no more.

    Called by the storage cleaner.

    Returns:
        How many uploads were due, at most `limit`.

    Raises:
        ForeignStorage: The storage belongs to another deployment. Nothing was deleted.
    """
    overdue = Upload.objects.filter(cleaned_up_at=None, created_at__lt=clock.now() - COMPLETE_WITHIN)
    due = list(leases.unleased(overdue).order_by("created_at")[:limit])
    try:
        if due:
            storage_mark.guard.verify_now()
        for upload in due:
            pending = Upload.objects.filter(pk=upload.pk, state=Upload.State.PENDING)
            if pending.update(state=Upload.State.EXPIRED):
                upload.state = Upload.State.EXPIRED
            if upload.state == Upload.State.READY:
                storage.delete(upload.incoming_key)
            else:
                _delete_files(upload)
            # If the state has changed since, the next pass decides again.
            Upload.objects.filter(pk=upload.pk, state=upload.state).update(cleaned_up_at=clock.now())
    except (BotoCoreError, ClientError, OSError) as error:
        logger.warning("uploads could not be cleaned up", extra={"error": f"{error}"[:200]})
    return len(due)


# --- Processing, with the lease of the upload ---


@contextmanager
def _leased(upload: Upload) -> Iterator[Upload]:
    """Hold the lease of a pending upload, so that only one process works on it, and put on record where it stores.

    What the row does not name in the end is deleted. Raises InProgress, StorageUnavailable.
    """
    _require_own_storage()
    pending = Upload.objects.filter(pk=upload.pk, state=Upload.State.PENDING)
    claimed = leases.claim(pending, limit=1, seconds=LEASE_SECONDS)
    if not claimed:
        raise InProgress
    (leased,) = claimed
    # Before anything is stored: if this process dies, the storage cleaner finds what it has left behind.
    write_attempts.record(leased)
    try:
        with leases.renewing(leased, seconds=LEASE_SECONDS):
            yield leased
    except BaseException:
        # Not deleted here: the reason may be that the storage does not answer.
        write_attempts.end(leased, has_written=True)
        raise
    finally:
        leases.release(leased)
        leases.forget(leased)
    write_attempts.settle(leased)


def _process(upload: Upload, file: IO[bytes]) -> bool:
    """Sanitize the bytes of a leased upload, store the result and record it in the row, or that they cannot be used.

    Returns:
        False if nothing was recorded, because the lease is lost.

    Raises:
        SandboxUnavailable: This machine lacks the memory, disk or time for it, which says nothing about the bytes.
        InProgress, and errors of the storage.
    """
    with tempfile.TemporaryFile() as image, tempfile.TemporaryFile() as thumbnail:
        try:
            found = sandbox.sanitize(file, image, thumbnail)
        except TooCostly as error:
            raise sandbox.SandboxUnavailable(sandbox.OVERLOADED) from error
        except NotMedia as error:
            return bool(_held(upload).update(state=Upload.State.REFUSED, detail=f"{error}"[:300]))
        # A process that was suspended keeps out of the storage. Its last update decides; this deletes less.
        if not _held(upload).exists():
            raise InProgress
        place = upload.place_of(upload.lease)
        key, thumbnail_key = f"{place}.{found.extension}", f"{place}.thumbnail.webp"
        storage.put(thumbnail_key, thumbnail, content_type=THUMBNAIL_TYPE)
        storage.put(key, image, content_type=found.content_type)
        measured = storage.measure(key)
        size_bytes = image.seek(0, 2)
        image.seek(0)
        digest = hashlib.file_digest(image, "sha256")
        if measured != Measured(size_bytes=size_bytes, sha256=digest.hexdigest()):
            raise StorageUnavailable("The storage has changed the file. Try again.")
        recorded = _held(upload).update(
            state=Upload.State.READY,
            key=key,
            thumbnail_key=thumbnail_key,
            content_type=found.content_type,
            size_bytes=measured.size_bytes,
            sha256=measured.sha256,
            thumbnail_size_bytes=thumbnail.seek(0, 2),
            width=found.width,
            height=found.height,
            completed_at=clock.now(),
        )
    return bool(recorded)


def _conclude(upload: Upload) -> Upload:
    """Return the processed upload, or raise why there is none: NotAnImage or InProgress.

    Called when its lease is released and its bytes are deleted.
    """
    _mark_cleaned_up(upload)
    upload.refresh_from_db()
    if upload.state == Upload.State.PENDING:
        # This process has lost its lease, and another one works on it.
        raise InProgress
    if upload.state == Upload.State.REFUSED:
        raise NotAnImage(upload.detail)
    return upload


def _held(upload: Upload) -> QuerySet[Upload]:
    """Return the row, unless the lease is lost: another process may have taken the upload over."""
    return Upload.objects.filter(pk=upload.pk, lease=upload.lease, state=Upload.State.PENDING)


def _copy(source: IO[bytes], sink: IO[bytes], size_bytes: int) -> None:
    """Copy exactly this many bytes; more are not read. Raises Mismatch if there are fewer."""
    left = size_bytes
    while left and (chunk := source.read(min(CHUNK_BYTES, left))):
        sink.write(chunk)
        left -= len(chunk)
    if left:
        raise Mismatch(f"{size_bytes - left} bytes arrived, {size_bytes} were declared.")


# --- Storage ---


def _mark_cleaned_up(upload: Upload) -> None:
    """Stop counting the declared bytes of a decided upload, if no more can arrive. Else `clean_up` does it later."""
    # A client of a bucket may still PUT bytes to its URL, or be doing so. Limn itself takes none for a decided upload,
    # and one that came with a form (without a declared type) never had a URL.
    is_recent = upload.created_at >= clock.now() - COMPLETE_WITHIN
    if is_recent and upload.declared_type and storage.uses_bucket():
        return
    decided = Upload.objects.filter(pk=upload.pk, cleaned_up_at=None).exclude(state=Upload.State.PENDING)
    leases.unleased(decided).update(cleaned_up_at=clock.now())


def _delete_files(upload: Upload) -> None:
    for key in (upload.key, upload.thumbnail_key, upload.incoming_key):
        if key:
            storage.delete(key)
    write_attempts.empty_places(WriteAttempt.objects.filter(upload=upload))


def _require_own_storage() -> None:
    """Raise StorageUnavailable if the storage belongs to another deployment. Its mark tells; the log says so."""
    if storage_mark.guard.refusal():
        raise StorageUnavailable


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Raise StorageUnavailable for all errors of the storage, and of the disk for temporary files."""
    try:
        yield
    except (DomainError, UnreadablePostError):
        # These are OSErrors as well: that of the sandbox, and that of a client that goes away.
        raise
    except (BotoCoreError, ClientError, OSError, storage_mark.ForeignStorage) as error:
        logger.warning("the storage does not answer", extra={"error": f"{error}"[:200]})
        raise StorageUnavailable from error
