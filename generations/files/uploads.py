"""Pictures that customers bring: announced, put straight into storage, looked at, and then used by their ids.

What is put stays where nobody reads it. What is used is another file: the picture as it looks, written anew in the
limited process. So whoever puts other bytes there afterwards, while his address still holds, changes nothing.

UploadError
├── NotPut         nothing lies there yet: put it, then ask again
├── BeingSeen      somebody looks at it this very moment: ask again
├── NotAPicture    what was put cannot be used: final
├── Expired        not completed in time: final
├── InUse          a generation that is not done needs it
├── NoRoom         the customer's uploads take up as much as they may
├── Mismatch       other bytes than were announced
└── StorageAway    storage does not answer: ask again
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
from django.db.models import Case, Sum, When
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from credits.models import Account
from errors import DomainError
from generations.catalogue.files import MEGABYTE
from generations.errors import InUse, Unavailable
from generations.files import sandbox, storage
from generations.files.inspection import Inspected, NotMedia
from generations.files.sanitizing import THUMBNAIL_TYPE
from generations.files.storage import Measured
from generations.jobs import leases
from generations.models import Upload

logger = logging.getLogger(__name__)

BYTES_MAX = 50 * MEGABYTE
TYPES = ("image/png", "image/jpeg", "image/webp")
# For a slow line, and no longer: whoever has the address may put.
PUT_SECONDS = 600
COMPLETE_WITHIN = timedelta(hours=1)
# Renewed while the work goes on, so it is short.
LEASE_SECONDS = 15
CHUNK_BYTES = 256 * 1024


class UploadError(DomainError):
    """The upload cannot be created, completed, used or deleted."""


class NotUploaded(UploadError):
    """No bytes were put yet."""

    code, status, title = "not_uploaded", 409, "Nothing uploaded"
    default_detail = "Nothing has been uploaded yet. PUT the bytes to the upload's URL, then complete the upload."


class InProgress(UploadError):
    """Another process holds the lease of the upload."""

    code, status, title = "upload_busy", 409, "Upload is being processed"
    default_detail = "The upload is being processed. Try again in a second."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class NotAPicture(UploadError):
    """The uploaded bytes are not an image that can be used: `reason`. Final."""

    code, status, title = "not_a_picture", 422, "Not an image"

    def __init__(self, reason: str) -> None:
        super().__init__(f"It cannot be used: {reason}.")
        self.reason = reason


class Expired(UploadError):
    """The upload was not completed in time. Final."""

    code, status, title = "upload_expired", 410, "Upload expired"
    default_detail = "The upload was not completed in time. Create a new one."


class UploadInUse(UploadError, InUse):
    """A generation that has not ended needs the upload."""

    default_detail = "A generation that has not ended needs this upload. Cancel the generation, or wait for its end."


class QuotaExceeded(UploadError):
    """The account's uploads would take more space than they may."""

    code, status, title = "storage_full", 413, "Upload quota exceeded"


class Mismatch(UploadError):
    """The uploaded bytes differ in length or type from what was declared."""

    code, status, title = "upload_mismatch", 422, "Upload differs from its declaration"


class StorageUnavailable(UploadError, Unavailable):
    """The storage does not answer."""


def create(account: Account, *, file_name: str, content_type: str, size_bytes: int) -> Upload:
    """A place for a picture of this type and length, for some minutes. Raises NoRoom."""
    with transaction.atomic():
        # One after the other, so that two cannot both take the last room.
        Account.objects.select_for_update().get(pk=account.pk)
        _require_room(account, size_bytes)
        return Upload.objects.create(
            account=account,
            file_name=file_name,
            announced_type=content_type,
            announced_size_bytes=size_bytes,
            expires_at=timezone.now().replace(microsecond=0) + timedelta(seconds=PUT_SECONDS),
        )


def receive(upload: Upload, stream: IO[bytes]) -> None:
    """Its bytes, put to us because there is no bucket. Raises Mismatch, Expired, BeingSeen."""
    if upload.expires_at <= timezone.now():
        raise Expired
    with tempfile.TemporaryFile() as file:
        _copy(stream, file, upload.announced_size_bytes)
        # Now, and not before the bytes came: a slow sender's upload may be complete, or swept, by now.
        if not Upload.objects.filter(pk=upload.pk, state=Upload.State.PENDING, swept_at=None).exists():
            raise Expired
        # With the lease: who erases it at this moment does not take the place for empty.
        with _alone_with(upload) as mine, _storage_errors():
            storage.put(mine.incoming_key, file, content_type=mine.announced_type)


def complete(upload: Upload) -> Upload:
    """Look at what was put, and make of it what can be used. Again: the same answer. Raises UploadError.

    Two at once do it once: one has the lease, and the other hears BeingSeen.
    """
    if (done := _decided(upload)) is not None:
        return done
    with _alone_with(upload) as mine, tempfile.TemporaryFile() as file:
        try:
            with _storage_errors():
                storage.fetch(mine.incoming_key, file, bytes_max=BYTES_MAX)
        except FileNotFoundError:
            raise NotUploaded from None
        refusal = _verdict(mine, file)
        # The verdict stands in the row by now: what was put is of no more use, whichever it is.
        with _storage_errors():
            storage.delete(mine.incoming_key)
    return _decided_now(upload, refusal)


def create_from_form(account: Account, file: IO[bytes], *, file_name: str, size_bytes: int) -> Upload:
    """A picture that came to us by a form: announced and completed in one go. Raises NoRoom, NotAPicture."""
    if size_bytes > BYTES_MAX:
        raise NotAPicture(f"an image has at most {BYTES_MAX // MEGABYTE} MB")
    upload = create(account, file_name=file_name, content_type="", size_bytes=size_bytes)
    with _alone_with(upload) as mine, tempfile.TemporaryFile() as copy:
        _copy(file, copy, size_bytes)
        refusal = _verdict(mine, copy)
    return _decided_now(upload, refusal)


def erase(upload: Upload) -> bool:
    """Remove the files; the row stays, for what was made of it. False when that has been done. Raises InUse."""
    with transaction.atomic():
        # Orders lock it as well: it is either found in use here, or not found there.
        locked = Upload.objects.select_for_update().get(pk=upload.pk)
        if locked.state == Upload.State.ERASED:
            return False
        if locked.uses.needed().exists():
            raise UploadInUse
        # The sweeper finds it, should we die before the files are gone, or bytes be put to it yet.
        Upload.objects.filter(pk=upload.pk).update(state=Upload.State.ERASED, swept_at=None, file_name="")
    with _storage_errors():
        _delete_files(locked)
    _note_swept(locked)
    return True


def bytes_taken(account: Account) -> int:
    """How much room the customer's uploads take up."""
    mine = Upload.objects.filter(account=account).taking_room()
    # Until it is swept, as much as was announced may lie, or be put again, beside what was made of it.
    unswept = Greatest(Coalesce("size_bytes", 0), "announced_size_bytes")
    taken = mine.aggregate(bytes=Sum(Case(When(swept_at=None, then=unswept), default="size_bytes")))["bytes"]
    return int(taken or 0)


def sweep(*, limit: int) -> int:
    """End what was not completed in time, and clear away what lies where bytes are put. How many it took on."""
    overdue = Upload.objects.filter(swept_at=None, created_at__lt=timezone.now() - COMPLETE_WITHIN)
    found = list(leases.unleased(overdue).order_by("created_at")[:limit])
    try:
        for upload in found:
            _sweep(upload)
    except (BotoCoreError, ClientError, OSError) as error:
        logger.warning("uploads could not be swept", extra={"error": f"{error}"[:200]})
    return len(found)


# --- Looking at it --------------------------------------------------------------------------------------------------


def _decided(upload: Upload) -> Upload | None:
    """The upload when it is ready, None when it is still to be looked at. Raises what became of it else."""
    if upload.state == Upload.State.READY:
        return upload
    if upload.state == Upload.State.REFUSED:
        raise NotAPicture(upload.detail)
    if upload.state != Upload.State.PENDING or upload.created_at < timezone.now() - COMPLETE_WITHIN:
        raise Expired
    return None


@contextmanager
def _alone_with(upload: Upload) -> Iterator[Upload]:
    """The upload, which nobody else looks at meanwhile. Raises BeingSeen."""
    pending = Upload.objects.filter(pk=upload.pk, state=Upload.State.PENDING)
    claimed = leases.claim(pending, limit=1, seconds=LEASE_SECONDS)
    if not claimed:
        raise InProgress
    (mine,) = claimed
    try:
        with leases.renewing(mine, seconds=LEASE_SECONDS):
            yield mine
    finally:
        leases.release(mine)
        leases.forget(mine)


def _verdict(upload: Upload, file: IO[bytes]) -> NotAPicture | None:
    """What came is looked at; None when it can be used. The caller has the lease."""
    try:
        _finish(upload, file)
    except NotAPicture as refusal:
        return refusal
    return None


def _decided_now(upload: Upload, refusal: NotAPicture | None) -> Upload:
    """The caller has given the lease back, and nothing lies any more where the bytes were put."""
    _note_swept(upload)
    if refusal is not None:
        raise refusal
    upload.refresh_from_db()
    return upload


def _finish(upload: Upload, file: IO[bytes]) -> None:
    """What came is looked at, written anew and stored. The caller has the lease."""
    with tempfile.TemporaryFile() as image, tempfile.TemporaryFile() as thumbnail:
        try:
            found = sandbox.cleaned(file, image, thumbnail)
        except NotMedia as error:
            _mine(upload, state=Upload.State.REFUSED, detail=f"{error}"[:300])
            raise NotAPicture(f"{error}") from error
        key = f"{storage.UPLOADS_PREFIX}{upload.pk}/image.{found.extension}"
        thumbnail_key = f"{storage.UPLOADS_PREFIX}{upload.pk}/thumbnail.webp"
        # Written down before anything lies there: what a crash leaves behind is found by its row.
        _mine(upload, key=key, thumbnail_key=thumbnail_key)
        with _storage_errors():
            storage.put(thumbnail_key, thumbnail, content_type=THUMBNAIL_TYPE)
            storage.put(key, image, content_type=found.content_type)
            measured = storage.measure(key)
        if measured != _measured(image):
            raise StorageUnavailable("Storage holds other bytes than were sent. Ask again.")
        _ready(upload, found, measured, thumbnail_bytes=thumbnail.seek(0, 2))


def _ready(upload: Upload, found: Inspected, measured: Measured, *, thumbnail_bytes: int) -> None:
    _mine(
        upload,
        state=Upload.State.READY,
        content_type=found.content_type,
        size_bytes=measured.size_bytes,
        sha256=measured.sha256,
        thumbnail_size_bytes=thumbnail_bytes,
        width=found.width,
        height=found.height,
        completed_at=timezone.now(),
    )


def _mine(upload: Upload, **changes: object) -> None:
    """Written by the holder of the lease alone; who slept through it changes nothing."""
    Upload.objects.filter(pk=upload.pk, lease=upload.lease, state=Upload.State.PENDING).update(**changes)


def _measured(file: IO[bytes]) -> Measured:
    size = file.seek(0, 2)
    file.seek(0)
    return Measured(size_bytes=size, sha256=hashlib.file_digest(file, "sha256").hexdigest())  # type: ignore[arg-type]


# --- Room and files -------------------------------------------------------------------------------------------------


def _require_room(account: Account, size_bytes: int) -> None:
    taken = bytes_taken(account)
    if taken + size_bytes > settings.UPLOAD_MEGABYTES_MAX * MEGABYTE:
        raise QuotaExceeded(
            f"Your uploads may take up {settings.UPLOAD_MEGABYTES_MAX} MB, and {taken // MEGABYTE} MB are taken. "
            "Delete some that you no longer need."
        )


def _copy(source: IO[bytes], sink: IO[bytes], size_bytes: int) -> None:
    """Just so many bytes. Raises Mismatch for fewer; of more, nobody reads the rest."""
    left = size_bytes
    while left and (chunk := source.read(min(CHUNK_BYTES, left))):
        sink.write(chunk)
        left -= len(chunk)
    if left:
        raise Mismatch(f"{size_bytes - left} bytes came, {size_bytes} were announced.")


def _sweep(upload: Upload) -> None:
    pending = Upload.objects.filter(pk=upload.pk, state=Upload.State.PENDING)
    if pending.update(state=Upload.State.EXPIRED):
        upload.state = Upload.State.EXPIRED
    if upload.state == Upload.State.READY:
        storage.delete(upload.incoming_key)
    else:
        _delete_files(upload)
    Upload.objects.filter(pk=upload.pk, state=upload.state).update(swept_at=timezone.now())


def _note_swept(upload: Upload) -> None:
    """Its room is free at once, unless bytes may come yet or somebody is at it. The sweeper notes it then."""
    if _takes_bytes_yet(upload):
        return
    decided = Upload.objects.filter(pk=upload.pk, swept_at=None).exclude(state=Upload.State.PENDING)
    leases.unleased(decided).update(swept_at=timezone.now())


def _takes_bytes_yet(upload: Upload) -> bool:
    """Whether somebody may have an address of the bucket that still takes its bytes, or a PUT under way to one.

    We ourselves take none for what is decided; and what came with a form never had an address.
    """
    in_time = upload.created_at >= timezone.now() - COMPLETE_WITHIN
    return in_time and bool(upload.announced_type) and storage.is_bucket()


def _delete_files(upload: Upload) -> None:
    for key in (upload.key, upload.thumbnail_key, upload.incoming_key):
        if key:
            storage.delete(key)


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (BotoCoreError, ClientError, OSError) as error:
        logger.warning("storage does not answer", extra={"error": f"{error}"[:200]})
        raise StorageUnavailable from error
