"""The owner's storage: an S3-compatible bucket, or a folder. Private; addresses are signed when read."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from django.core.files import File
from django.core.files.storage import default_storage, storages
from storages.backends.s3 import S3Storage

# All results. What else lies in the bucket is somebody else's, and nobody looks at it; but for what customers bring,
# of which every key is in a row.
PREFIX = "generations/"
UPLOADS_PREFIX = "uploads/"
# S3 lists no more at once.
PAGE_KEYS_MAX = 1000
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Measured:
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Listed:
    key: str
    modified_at: datetime


def put(key: str, file: IO[bytes], *, content_type: str) -> None:
    """Write the file under this very key, replacing what a broken attempt left there."""
    file.seek(0)
    content = File(file, name=key)
    content.content_type = content_type  # type: ignore[attr-defined]  # django-storages sends it along
    written = default_storage.save(key, content)
    if written != key:
        raise OSError(f"storage wrote {written} instead of {key}")


def measure(key: str) -> Measured:
    """What really lies there, read back byte by byte: no checksum scheme is common to all S3 servers."""
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(key):
        digest.update(chunk)
        size += len(chunk)
    return Measured(size_bytes=size, sha256=digest.hexdigest())


def fetch(key: str, sink: IO[bytes], *, bytes_max: int) -> Measured:
    """What lies there, into `sink`. FileNotFoundError when nothing does, OSError when it is more than `bytes_max`."""
    digest, size = hashlib.sha256(), 0
    for chunk in _found_chunks(key):
        size += len(chunk)
        if size > bytes_max:
            raise OSError(f"more than {bytes_max} bytes lie under {key}")
        digest.update(chunk)
        sink.write(chunk)
    return Measured(size_bytes=size, sha256=digest.hexdigest())


def signed_put(key: str, *, content_type: str, size_bytes: int, seconds: int) -> str | None:
    """An address of the bucket to which just this many bytes of this type may be put; None for a folder.

    A PUT and no form: Cloudflare's R2 knows no presigned POST. Key, type and length are in the signature.
    """
    bucket = _bucket()
    if bucket is None:
        return None
    what = {"Bucket": bucket.name, "Key": key, "ContentType": content_type, "ContentLength": size_bytes}
    return str(bucket.meta.client.generate_presigned_url("put_object", Params=what, ExpiresIn=seconds))


def signed_url(key: str, *, seconds: int, file_name: str, content_type: str) -> str | None:
    """An address of the bucket that lapses; None for a folder, whose files we serve ourselves."""
    if _bucket() is None:
        return None
    parameters = {
        "ResponseContentType": content_type,
        "ResponseContentDisposition": f'inline; filename="{file_name}"',
    }
    return default_storage.url(key, parameters=parameters, expire=seconds)  # type: ignore[call-arg]


def url_on(domain: str, key: str, *, seconds: int, file_name: str, content_type: str) -> str | None:
    """The same, on a domain of the owner's that leads to the bucket; None for a folder.

    Signed for that host, so it holds where the domain speaks S3 (a CNAME, a proxy that keeps the Host). Where it shows
    the bucket to everybody, as an R2 custom domain does, the signature is not looked at.
    """
    bucket = _bucket()
    if bucket is None:
        return None
    query = {
        "response-content-type": content_type,
        "response-content-disposition": f'inline; filename="{file_name}"',
    }
    client = bucket.meta.client
    request = AWSRequest("GET", f"https://{domain}/{quote(key)}?{urlencode(query, quote_via=quote)}")
    # boto3 has no public way to sign for a host that is not the endpoint's.
    credentials = client._request_signer._credentials.get_frozen_credentials()
    S3SigV4QueryAuth(credentials, "s3", client.meta.region_name, expires=seconds).add_auth(request)
    return str(request.prepare().url)


def is_bucket() -> bool:
    """Whether customers put their bytes past us, at addresses that hold until they lapse."""
    return _bucket() is not None


def open_file(key: str) -> File[bytes]:
    return default_storage.open(key, "rb")


def delete(key: str) -> None:
    default_storage.delete(key)


def listing(*, after: str = "") -> list[Listed]:
    """The next page of all that is ours, in the order of the keys. Shorter than a page: that was the last."""
    bucket = _bucket()
    if bucket is None:
        return _listed_in_folder(after)
    found = bucket.meta.client.list_objects_v2(
        Bucket=bucket.name, Prefix=PREFIX, StartAfter=after, MaxKeys=PAGE_KEYS_MAX
    )
    return [Listed(key=item["Key"], modified_at=item["LastModified"]) for item in found.get("Contents", [])]


def abort_uploads(*, before: datetime) -> int:
    """End the uploads in parts that nobody has ended; a bucket keeps and charges for their parts. How many."""
    bucket = _bucket()
    if bucket is None:
        return 0
    stale = [
        upload
        for prefix in (PREFIX, UPLOADS_PREFIX)
        for upload in bucket.meta.client.list_multipart_uploads(Bucket=bucket.name, Prefix=prefix).get("Uploads", [])
        if upload["Initiated"] < before
    ]
    for upload in stale:
        bucket.meta.client.abort_multipart_upload(Bucket=bucket.name, Key=upload["Key"], UploadId=upload["UploadId"])
    return len(stale)


def _bucket() -> Any | None:
    """boto3's bucket; None when the files lie in a folder."""
    storage = storages["default"]
    return storage.bucket if isinstance(storage, S3Storage) else None


def _found_chunks(key: str) -> Iterator[bytes]:
    try:
        yield from _chunks(key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
            raise FileNotFoundError(key) from error
        raise


def _chunks(key: str) -> Iterator[bytes]:
    """Straight from the line: django-storages would first hold the whole object in memory, or on disk."""
    bucket = _bucket()
    if bucket is not None:
        yield from bucket.Object(key).get()["Body"].iter_chunks(CHUNK_BYTES)
        return
    with default_storage.open(key, "rb") as file:
        yield from file.chunks(CHUNK_BYTES)


def _listed_in_folder(after: str) -> list[Listed]:
    root = Path(default_storage.path(""))
    keys = heapq.nsmallest(PAGE_KEYS_MAX, (key for key in _keys_in(root) if key > after))
    return [listed for key in keys if (listed := _listed(root, key))]


def _keys_in(root: Path) -> Iterable[str]:
    return (path.relative_to(root).as_posix() for path in (root / PREFIX).rglob("*") if path.is_file())


def _listed(root: Path, key: str) -> Listed | None:
    try:
        seconds = (root / key).stat().st_mtime
    except FileNotFoundError:
        return None
    return Listed(key=key, modified_at=datetime.fromtimestamp(seconds, UTC))
