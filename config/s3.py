"""The owner's bucket, as django-storages and boto3 want to be told: nothing waits for ever or takes all memory."""

from __future__ import annotations

from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from generations.catalogue.files import MEGABYTE

# Part by part: several files go at once anyway, and boto's own ten threads would hold ten parts of each.
_IN_PARTS = TransferConfig(use_threads=False, multipart_threshold=16 * MEGABYTE, multipart_chunksize=16 * MEGABYTE)


def storage(
    *, name: str, endpoint_url: str, region: str, access_key: str, secret_key: str, signed_seconds: int
) -> dict[str, Any]:
    """The entry of STORAGES."""
    manners = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=5,
        read_timeout=30,
        # One attempt and two more within seconds, with jitter. What lasts longer, the copier waits for.
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    options = {
        "bucket_name": name,
        "endpoint_url": endpoint_url or None,
        "region_name": region,
        "access_key": access_key or None,
        "secret_key": secret_key or None,
        "client_config": manners,
        "transfer_config": _IN_PARTS,
        # What is read back is spooled to disk beyond this; by default all of it stays in memory.
        "max_memory_size": 8 * MEGABYTE,
        "default_acl": None,
        "querystring_auth": True,
        "querystring_expire": signed_seconds,
        "file_overwrite": True,
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
