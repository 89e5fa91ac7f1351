"""Writes files to a bucket whose server proves by SHA-256 checksums what it has stored, so nothing is read back.

Many S3 servers verify the checksums that a client sends; some ignore them. `verifies` finds out with wrong checksums:
only a server that refuses these is believed. `storage` reads back what it has written to any other.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any
from uuid import uuid4

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError

from generations.files import request_signing
from generations.files.spool import PART_BYTES, Spool

# How servers refuse a body that does not match its checksum: S3, Cloudflare and SeaweedFS; MinIO; Ceph.
MISMATCH_CODES = {"BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
CHUNK_BYTES = 256 * 1024
PROBE = b"Limn verifies that this server compares checksums."
_verdicts: dict[tuple[str, str], bool] = {}
"""What each bucket's server did with a wrong checksum, by its URL and the bucket's name."""
_lock = threading.Lock()


def verifies(bucket: Any, prefix: str) -> bool:
    """Return whether the server refuses objects and parts of objects with a wrong checksum.

    It is asked once in the life of a process, with two writes below `prefix` of which nothing remains.

    Raises:
        BotoCoreError, ClientError: The server is unavailable, or refuses all writes.
    """
    client = bucket.meta.client
    server = (client.meta.endpoint_url, bucket.name)
    if server not in _verdicts:
        with _lock:
            if server not in _verdicts:
                where = {"Bucket": bucket.name, "Key": f"{prefix}checksum-probe-{uuid4()}"}
                _verdicts[server] = _refuses_wrong_object(client, where) and _refuses_wrong_part(client, where)
    return _verdicts[server]


def put(bucket: Any, key: str, spool: Spool, *, content_type: str) -> bool:
    """Store a file of a bucket that `verifies`.

    The checksums are those of the bytes as they arrived. If the disk returns others, the server refuses them.

    Returns:
        Whether the server has confirmed the checksum of the whole object. If not, the object must be read back.

    Raises:
        BotoCoreError, ClientError: It is not stored. Among the reasons is that other bytes arrived than were sent.
    """
    client, where = bucket.meta.client, {"Bucket": bucket.name, "Key": key}
    digests = spool.part_digests
    if len(digests) == 1:
        checksum = _encode(spool.digest)
        if spool.content is not None and (confirmed := _put_small(bucket, key, spool.content, content_type, checksum)):
            return confirmed == checksum
        body = _Region(spool.file, 0, spool.size_bytes) if spool.content is None else spool.content
        stored = client.put_object(**where, Body=body, ContentType=content_type, ChecksumSHA256=checksum)
        return bool(stored.get("ChecksumSHA256") == checksum)
    upload = client.create_multipart_upload(**where, ContentType=content_type, ChecksumAlgorithm="SHA256")
    where["UploadId"] = upload["UploadId"]
    try:
        parts = []
        for number, digest in enumerate(digests):
            body = _Region(spool.file, number * PART_BYTES, min(PART_BYTES, spool.size_bytes - number * PART_BYTES))
            part = {"PartNumber": number + 1, "ChecksumSHA256": _encode(digest)}
            parts.append({**part, "ETag": client.upload_part(**where, **part, Body=body)["ETag"]})
        completed = client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    except BaseException:
        # What is left if this fails as well, the storage cleaner aborts within a day.
        with suppress(BotoCoreError, ClientError):
            client.abort_multipart_upload(**where)
        raise
    # S3's checksum of such an object is the hash of the hashes of its parts.
    expected = f"{_encode(hashlib.sha256(b''.join(digests)).digest())}-{len(digests)}"
    return bool(completed.get("ChecksumSHA256") == expected)


def _put_small(bucket: Any, key: str, content: bytes, content_type: str, checksum: str) -> str | None:
    """Try once to store a file. Returns the checksum that the server has confirmed, or None if it was not stored.

    The request goes over the connections of boto3, with its limits of time, but past its other layers, which take two
    milliseconds of CPU time. These are for requests that fail: they know what to repeat, and which error to raise.
    """
    headers = {"content-type": content_type, "x-amz-checksum-sha256": checksum}
    try:
        url, signed = request_signing.put_request(bucket, key, headers)
        request = AWSRequest("PUT", url, headers=signed, data=content).prepare()
        response = bucket.meta.client._endpoint.http_session.send(request)
    except BotoCoreError:
        return None
    return str(response.headers.get("x-amz-checksum-sha256", "")) if response.status_code == 200 else None


class _Region:
    """A part of a file on disk, as the body of a request. It is read through one small buffer, which is used again."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        file.flush()
        self._descriptor, self._start, self._length = file.fileno(), start, length
        self._position = 0
        self._buffer = memoryview(bytearray(min(length, CHUNK_BYTES)))

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> memoryview:
        """Return the next bytes, until the next call. They may be more than `size`, which is smaller than a network
        connection likes."""
        wanted = self._buffer[: self._length - self._position]
        count = os.preadv(self._descriptor, [wanted], self._start + self._position)
        self._position += count
        return wanted[:count]

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Continue from another position. Called if a request is repeated."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        return self._position


def _refuses_wrong_object(client: Any, where: dict[str, str]) -> bool:
    def put_wrong(checksum: str) -> None:
        client.put_object(**where, Body=PROBE, ChecksumSHA256=checksum)
        # The server has stored it all the same. If it may not be deleted here, the storage cleaner tries as well.
        with suppress(ClientError):
            client.delete_object(**where)

    return _is_refused(put_wrong)


def _refuses_wrong_part(client: Any, where: dict[str, str]) -> bool:
    try:
        upload = client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
    except ClientError as error:
        if _is_final(error):
            return False
        raise

    def put_wrong(checksum: str) -> None:
        client.upload_part(**where, UploadId=upload, PartNumber=1, Body=PROBE, ChecksumSHA256=checksum)

    try:
        return _is_refused(put_wrong)
    finally:
        with suppress(ClientError):
            client.abort_multipart_upload(**where, UploadId=upload)


def _is_refused(put_wrong: Callable[[str], None]) -> bool:
    try:
        put_wrong(_encode(hashlib.sha256(PROBE + b"?").digest()))
    except ClientError as error:
        if error.response["Error"]["Code"] in MISMATCH_CODES:
            return True
        if _is_final(error):
            return False
        raise
    return False


def _is_final(error: ClientError) -> bool:
    """Return whether the server does not know the request, so that it would answer the same again."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status in (400, 501)


def _encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
