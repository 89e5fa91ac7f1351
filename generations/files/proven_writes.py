"""Writes files to a bucket whose server proves by SHA-256 checksums what it has stored, so nothing is read back.

`checksum_support` tells which servers do. A small file is sent with one request when it is complete. A large one is
sent in parts while it still arrives, and becomes an object only with the last request: a file that is refused, or that
breaks off, leaves nothing in the bucket. The checksums are those of the bytes as they arrived. If the disk returns
others, the server refuses them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import IO, Any

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError

from generations.files import request_signing
from generations.files.checksum_support import encode
from generations.files.formats.byte_reader import HEAD_BYTES
from generations.files.inspection import expected_extension
from generations.files.media_types import TYPES
from generations.files.spool import Spool

# A file of this size or more is sent in parts of it. They are read from disk, so they are larger than what is kept in
# memory. Smaller ones would have the server do more work.
PART_BYTES = 32 * 1024**2
CHUNK_BYTES = 256 * 1024
# Of all files together. A part that waits for a thread is on disk.
THREADS = 8


class ProvenSpool(Spool):
    """A spool whose file goes to a bucket, and in parts, while it is being written, if it is large.

    An upload that `put` does not complete is aborted on exit.

    Args:
        bucket: The bucket as an object of boto3. Its server verifies checksums.
        key_of: Returns the key of the file, given its extension.
        expected_bytes: The size that the file is said to have.
    """

    def __init__(self, bucket: Any, key_of: Callable[[str], str], *, expected_bytes: int | None) -> None:
        super().__init__(expected_bytes=expected_bytes)
        self._bucket, self._key_of = bucket, key_of
        self._part = hashlib.sha256()
        self._digests: list[bytes] = []
        """Of the parts that are complete."""
        self._upload: _Upload | None = None

    def __exit__(self, *error: object) -> None:
        self._abort()
        super().__exit__(*error)

    def write(self, chunk: bytes | memoryview) -> int:
        """Append `chunk`.

        Raises:
            BotoCoreError, ClientError: A part of the file could not be sent.
        """
        rest = memoryview(chunk)
        while rest:
            piece = rest[: PART_BYTES - self.size_bytes % PART_BYTES]
            super().write(piece)
            # The hash of the first part is that of the whole file so far.
            if self._digests:
                self._part.update(piece)
            if self.size_bytes % PART_BYTES == 0:
                self._end_part()
            rest = rest[len(piece) :]
        return len(chunk)

    def put(self, key: str, *, content_type: str) -> bool:
        """Store the file, which is complete.

        Returns:
            Whether the server has confirmed the checksum of the whole object. If not, the object must be read back.

        Raises:
            BotoCoreError, ClientError: It is not stored. Among the reasons is that other bytes arrived than were sent.
        """
        if not self._digests:
            return _put_object(self._bucket, key, self, content_type=content_type)
        if self.size_bytes % PART_BYTES:
            self._end_part()
        if self._upload is None or self._upload.name != (key, content_type):
            # The beginning of the file did not tell its type.
            self._abort()
            self._upload = _Upload(self._bucket, key, content_type)
            for number, digest in enumerate(self._digests):
                self._send(self._upload, number, digest)
        is_confirmed = self._upload.complete(self._digests)
        self._upload = None
        return is_confirmed

    def _end_part(self) -> None:
        digest = self._part.digest() if self._digests else self.digest
        self._digests.append(digest)
        self._part = hashlib.sha256()
        self.file.flush()
        if len(self._digests) == 1:
            extension = expected_extension(os.pread(self.file.fileno(), HEAD_BYTES, 0))
            if extension is not None:
                self.is_sent = True
                self._upload = _Upload(self._bucket, self._key_of(extension), TYPES[extension][1])
        if self._upload is not None:
            self._send(self._upload, len(self._digests) - 1, digest)

    def _send(self, upload: _Upload, number: int, digest: bytes) -> None:
        start = number * PART_BYTES
        upload.send(_Region(self.file, start, min(PART_BYTES, self.size_bytes - start)), digest)

    def _abort(self) -> None:
        if self._upload is not None:
            self._upload.abort()
            self._upload = None


class _Upload:
    """A multipart upload, of which several threads send parts at the same time."""

    def __init__(self, bucket: Any, key: str, content_type: str) -> None:
        self.name = key, content_type
        self._client, self._where = bucket.meta.client, {"Bucket": bucket.name, "Key": key}
        created = self._client.create_multipart_upload(
            **self._where, ContentType=content_type, ChecksumAlgorithm="SHA256"
        )
        self._where["UploadId"] = created["UploadId"]
        self._parts: list[Future[dict[str, Any]]] = []

    def send(self, body: _Region, digest: bytes) -> None:
        """Send the next part, and do not wait for it. Raises the error of an earlier part that has failed."""
        for sent in self._parts:
            if sent.done():
                sent.result()
        part = {"PartNumber": len(self._parts) + 1, "ChecksumSHA256": encode(digest)}
        self._parts.append(_threads.submit(self._send, part, body))

    def complete(self, digests: list[bytes]) -> bool:
        """Wait for all parts, and make them an object. Returns whether the server has confirmed its checksum."""
        parts = [part.result() for part in self._parts]
        completed = self._client.complete_multipart_upload(**self._where, MultipartUpload={"Parts": parts})
        # S3's checksum of such an object is the hash of the hashes of its parts.
        expected = f"{encode(hashlib.sha256(b''.join(digests)).digest())}-{len(digests)}"
        return bool(completed.get("ChecksumSHA256") == expected)

    def abort(self) -> None:
        """Have the server delete the parts."""
        # A part that arrives after the others were deleted would stay.
        wait([part for part in self._parts if not part.cancel()])
        # What is left if this fails as well, the storage cleaner aborts: the key is on record (`models.WriteAttempt`).
        with suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**self._where)

    def _send(self, part: dict[str, Any], body: _Region) -> dict[str, Any]:
        return {**part, "ETag": self._client.upload_part(**self._where, **part, Body=body)["ETag"]}


_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="upload")


def _put_object(bucket: Any, key: str, spool: Spool, *, content_type: str) -> bool:
    """Store a file with one request. Returns whether the server has confirmed its checksum."""
    checksum, content = encode(spool.digest), spool.content
    if content is not None:
        is_confirmed = _put_small(bucket, key, content, content_type, checksum)
        if is_confirmed is not None:
            return is_confirmed
    body = _Region(spool.file, 0, spool.size_bytes) if content is None else content
    stored = bucket.meta.client.put_object(
        Bucket=bucket.name, Key=key, Body=body, ContentType=content_type, ChecksumSHA256=checksum
    )
    return bool(stored.get("ChecksumSHA256") == checksum)


def _put_small(bucket: Any, key: str, content: bytes, content_type: str, checksum: str) -> bool | None:
    """Try once to store a file. Returns whether the server has confirmed its checksum, or None if it is not stored.

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
    return response.headers.get("x-amz-checksum-sha256") == checksum if response.status_code == 200 else None


class _Region:
    """A part of a file on disk, as the body of a request. It is read through one small buffer, which is used again."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        file.flush()
        self._descriptor, self._start, self._length = file.fileno(), start, length
        self._position = 0
        # Made with the first read, since many parts of a file may wait for a thread.
        self._buffer = memoryview(b"")

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> memoryview:
        """Return the next bytes, until the next call. They may be more than `size`, which is smaller than a network
        connection likes."""
        if not self._buffer:
            self._buffer = memoryview(bytearray(min(self._length, CHUNK_BYTES)))
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
