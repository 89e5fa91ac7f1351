"""The operator's storage: a private S3-compatible bucket, or a folder.

The copier, the uploads, the eraser and the storage cleaner read and write it here and nowhere else. Keys are those of
the rows: the prefix of this deployment (STORAGE_PREFIX) is added here, by `_full`. Functions raise what the storage
raises: OSError, and botocore's BotoCoreError and ClientError.
"""

from __future__ import annotations

import hashlib
import heapq
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage, storages
from storages.backends.s3 import S3Storage

from generations.files import checksum_support, folder, request_signing
from generations.files.proven_writes import ProvenSpool
from generations.files.spool import Spool

logger = logging.getLogger(__name__)

# The storage may contain files of other programs. Limn lists only these folders.
OUTPUTS = "generations/"
UPLOADS = "uploads/"
# The place where `checksum_support` writes, and deletes at once. It is fixed, so that what a killed process has left
# can be deleted.
PROBE = "limn-checksum-probe"
# The limit of S3.
PAGE_KEYS_MAX = 1000
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The length and the hash of what is stored, computed from the bytes themselves."""

    size_bytes: int
    sha256: str
    """Hexadecimal."""


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One item of a list of stored files."""

    key: str
    modified_at: datetime
    size_bytes: int


class StoredOtherwise(OSError):
    """The storage accepted a file, and holds other bytes."""


def put(key: str, file: IO[bytes], *, content_type: str) -> None:
    """Store a file under exactly this key, and replace what an earlier attempt may have left there."""
    file.seek(0)
    if _bucket() is None:
        folder.write(_path(key), file)
        return
    content = File(file, name=_full(key))
    content.content_type = content_type  # type: ignore[attr-defined]  # django-storages sends it to the bucket
    written = default_storage.save(_full(key), content)
    if written != _full(key):
        # Django's storages may choose a free name instead of overwriting.
        raise OSError(f"storage wrote {written} instead of {_full(key)}")


def put_if_absent(key: str, content: bytes) -> bool:
    """Store a small file unless there is one under this key. Returns whether it was stored.

    A server that does not know the condition (If-None-Match) stores it in any case, so the caller reads it back.
    """
    bucket = _bucket()
    if bucket is None:
        return folder.write(_path(key), io.BytesIO(content), replaces=False)
    try:
        bucket.meta.client.put_object(Bucket=bucket.name, Key=_full(key), Body=content, IfNoneMatch="*")
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        # 412: there is one. 409: another request is storing one.
        if status in (409, 412):
            return False
        # The server refuses what it does not know.
        if status not in (400, 501):
            raise
        put(key, io.BytesIO(content), content_type="application/octet-stream")
    return True


def read(key: str, *, bytes_max: int) -> bytes | None:
    """Return the content of a small file; None if there is none."""
    content = io.BytesIO()
    try:
        download(key, content, bytes_max=bytes_max)
    except FileNotFoundError:
        return None
    return content.getvalue()


def new_spool(key_of: Callable[[str], str], *, expected_bytes: int | None) -> Spool:
    """Return an empty spool for a file that `put_proven` will store.

    Args:
        key_of: Returns the key of the file, given its extension. No other file has had such a key.
        expected_bytes: The size of the file, as far as it is known.
    """
    bucket = _bucket()
    if bucket is not None and checksum_support.verifies(bucket, _full(f"{PROBE}.bin")):
        return ProvenSpool(bucket, lambda extension: _full(key_of(extension)), expected_bytes=expected_bytes)
    return Spool(expected_bytes=expected_bytes)


def put_proven(key: str, spool: Spool, *, content_type: str) -> None:
    """Store a file, and prove that the storage holds exactly its bytes.

    A bucket proves it by the checksum that it has computed itself. A folder, and a bucket whose server ignores
    checksums, is read back.

    Args:
        key: What the `key_of` of the spool returns for its type.

    Raises:
        StoredOtherwise: The storage holds other bytes.
        OSError, BotoCoreError, ClientError: It is not stored.
    """
    spool.is_sent = True
    if isinstance(spool, ProvenSpool):
        if spool.put(_full(key), content_type=content_type):
            return
    else:
        put(key, spool.file, content_type=content_type)
    if measure(key) != Measured(size_bytes=spool.size_bytes, sha256=spool.digest.hex()):
        raise StoredOtherwise("the storage holds other bytes than were sent")


def measure(key: str) -> Measured:
    """Read a stored file back, and return its length and hash."""
    digest, size = hashlib.sha256(), 0
    for chunk in _read_chunks(key):
        digest.update(chunk)
        size += len(chunk)
    return Measured(size_bytes=size, sha256=digest.hexdigest())


def download(key: str, sink: IO[bytes], *, bytes_max: int) -> Measured:
    """Copy a stored file into `sink`.

    Raises:
        FileNotFoundError: There is no file under this key.
        OSError: It has more than `bytes_max` bytes, or the storage does not answer.
    """
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in _read_chunks(key):
            size += len(chunk)
            if size > bytes_max:
                raise OSError(f"more than {bytes_max} bytes are stored under {key}")
            digest.update(chunk)
            sink.write(chunk)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
            raise FileNotFoundError(key) from error
        raise
    return Measured(size_bytes=size, sha256=digest.hexdigest())


def open_file(key: str) -> File[bytes]:
    """Open a stored file for reading."""
    return default_storage.open(_full(key), "rb")


def delete(key: str) -> None:
    """Delete a stored file. It is no error if there is none."""
    if _bucket() is None:
        folder.delete(_path(key))
    else:
        default_storage.delete(_full(key))


def empty_place(place: str) -> None:
    """Delete all files and abort all multipart uploads whose keys begin with `place` and a dot.

    Such keys are those of one attempt to write (`models.WriteAttempt`), so that nothing of others is touched. A server
    that ignores the prefix of a listing names others as well, so each key is compared again.
    """
    bucket = _bucket()
    if bucket is None:
        folder.delete(*folder.beginning_with(_path(f"{place}.")))
        return
    prefix = _full(f"{place}.")
    client, where = bucket.meta.client, {"Bucket": bucket.name, "Prefix": prefix}
    # First the uploads, which could become objects.
    try:
        uploads = client.list_multipart_uploads(**where).get("Uploads", [])
    except ClientError as error:
        # Some servers cannot list them, and some keys may not: an erasure must not wait for that.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (403, 405, 501):
            raise
        logger.warning("multipart uploads cannot be listed", extra={"error": f"{error}"[:200]})
        uploads = []
    for upload in uploads:
        if not upload["Key"].startswith(prefix):
            continue
        with suppress(client.exceptions.NoSuchUpload):
            client.abort_multipart_upload(Bucket=bucket.name, Key=upload["Key"], UploadId=upload["UploadId"])
    for listed in client.list_objects_v2(**where).get("Contents", []):
        if listed["Key"].startswith(prefix):
            client.delete_object(Bucket=bucket.name, Key=listed["Key"])


def uses_bucket() -> bool:
    """Return whether files are stored in a bucket, where customers upload and read them directly with signed URLs."""
    return _bucket() is not None


def signed_upload_url(key: str, *, content_type: str, size_bytes: int, seconds: int) -> str | None:
    """Return a URL of the bucket to which exactly this many bytes of this type can be PUT, or None without a bucket.

    Key, content type and length are part of the signature. (A PUT, because Cloudflare's R2 has no presigned POST.)
    """
    bucket = _bucket()
    if bucket is None:
        return None
    signed = {"Bucket": bucket.name, "Key": _full(key), "ContentType": content_type, "ContentLength": size_bytes}
    return str(bucket.meta.client.generate_presigned_url("put_object", Params=signed, ExpiresIn=seconds))


def signed_url(key: str, *, seconds: int, file_name: str, content_type: str) -> str | None:
    """Return a URL of the bucket from which the file can be read for a while, or None without a bucket.

    Args:
        seconds: How long it is valid.
        file_name: What a browser calls the file if the user saves it. Plain ASCII.
        content_type: What the bucket serves the file as.
    """
    bucket = _bucket()
    if bucket is None:
        return None
    query = _response(file_name, content_type)
    return request_signing.url_for_reading(bucket, _full(key), query=query, seconds=seconds)


def signed_url_on_domain(domain: str, key: str, *, seconds: int, file_name: str, content_type: str) -> str | None:
    """Return a URL like that of `signed_url`, but on a domain of the operator's that leads to the bucket.

    The signature covers that host. It counts where the domain speaks S3 (a CNAME, or a proxy that keeps the Host
    header), and is ignored where the domain shows the bucket to everyone, as a custom domain of R2 does.
    """
    bucket = _bucket()
    if bucket is None:
        return None
    query = _response(file_name, content_type)
    base_url = f"https://{domain}"
    return request_signing.url_for_reading(bucket, _full(key), query=query, seconds=seconds, base_url=base_url)


def _response(file_name: str, content_type: str) -> dict[str, str]:
    """Return the parameters of a request for reading that decide about the headers of the response."""
    return {
        "response-content-type": content_type,
        "response-content-disposition": f'inline; filename="{file_name}"',
    }


def list_page(below: str = OUTPUTS, *, after: str = "") -> list[StoredObject]:
    """Return the next stored files, in the order of their keys.

    Args:
        below: OUTPUTS or UPLOADS.
        after: The last key of the page before.

    Returns:
        At most PAGE_KEYS_MAX items. Fewer mean the last page (in a folder also that a file was deleted meanwhile).
    """
    bucket, start = _bucket(), len(settings.STORAGE_PREFIX)
    if bucket is not None:
        listed = bucket.meta.client.list_objects_v2(
            Bucket=bucket.name,
            Prefix=_full(below),
            StartAfter=_full(after) if after else "",
            MaxKeys=PAGE_KEYS_MAX,
        )
        return [
            StoredObject(key=item["Key"][start:], modified_at=item["LastModified"], size_bytes=item["Size"])
            for item in listed.get("Contents", [])
            if item["Key"].startswith(_full(below))
        ]
    root = Path(default_storage.path(""))
    keys = (path.relative_to(root).as_posix()[start:] for path in _path(below).rglob("*") if path.is_file())
    page = []
    for key in heapq.nsmallest(PAGE_KEYS_MAX, (key for key in keys if key > after)):
        # The file may have been deleted since it was listed.
        with suppress(FileNotFoundError):
            found = _path(key).stat()
            modified_at = datetime.fromtimestamp(found.st_mtime, UTC)
            page.append(StoredObject(key=key, modified_at=modified_at, size_bytes=found.st_size))
    return page


def _bucket() -> Any | None:
    """Return the bucket as an object of boto3, or None if files are stored in a folder."""
    storage = storages["default"]
    return storage.bucket if isinstance(storage, S3Storage) else None


def _full(key: str) -> str:
    """Return the key in the bucket or folder."""
    return f"{settings.STORAGE_PREFIX}{key}"


def _path(key: str) -> Path:
    """Return the path of a file. Raises what `default_storage.path` raises for a path outside of its folder."""
    return Path(default_storage.path(_full(key)))


def _read_chunks(key: str) -> Iterator[bytes]:
    bucket = _bucket()
    if bucket is not None:
        # Directly from the connection: django-storages would first load the whole object into memory or a file.
        yield from bucket.Object(_full(key)).get()["Body"].iter_chunks(CHUNK_BYTES)
        return
    with default_storage.open(_full(key), "rb") as file:
        yield from file.chunks(CHUNK_BYTES)
