"""Finds out whether the server of a bucket verifies SHA-256 checksums.

Many S3 servers verify the checksums that a client sends; some ignore them. Only a server that refuses wrong ones is
believed: `storage` reads back what it has written to any other.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

# How servers refuse a body that does not match its checksum: S3, Cloudflare and SeaweedFS; MinIO; Ceph.
MISMATCH_CODES = {"BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
PROBE = b"Limn verifies that this server compares checksums."
_verdicts: dict[tuple[str, str], bool] = {}
"""What each bucket's server did with a wrong checksum, by its URL and the bucket's name."""
_lock = threading.Lock()


def verifies(bucket: Any, key: str) -> bool:
    """Return whether the server refuses objects and parts of objects with a wrong checksum.

    It is asked once in the life of a process, with two writes under `key` of which nothing remains. What a
    process leaves that is killed meanwhile, the storage cleaner deletes.

    Raises:
        BotoCoreError, ClientError: The server is unavailable, or refuses all writes.
    """
    client = bucket.meta.client
    server = (client.meta.endpoint_url, bucket.name)
    if server not in _verdicts:
        with _lock:
            if server not in _verdicts:
                where = {"Bucket": bucket.name, "Key": key}
                _verdicts[server] = _refuses_wrong_object(client, where) and _refuses_wrong_part(client, where)
    return _verdicts[server]


def encode(digest: bytes) -> str:
    """Return a digest as headers and parameters of S3 carry it."""
    return base64.b64encode(digest).decode()


def _refuses_wrong_object(client: Any, where: dict[str, str]) -> bool:
    def put_wrong(checksum: str) -> None:
        client.put_object(**where, Body=PROBE, ChecksumSHA256=checksum)
        # The server has stored it all the same.
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
        put_wrong(encode(hashlib.sha256(PROBE + b"?").digest()))
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
