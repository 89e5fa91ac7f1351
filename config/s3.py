"""The settings of the operator's bucket for django-storages and boto3: bounded waits, retries and memory."""

from __future__ import annotations

from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.config import Config

# Without boto's threads: several files are copied in parallel anyway, and ten threads hold ten parts of each.
_IN_PARTS = TransferConfig(use_threads=False, multipart_threshold=16 * 1024**2, multipart_chunksize=16 * 1024**2)


def storage(
    *, name: str, endpoint_url: str, region: str, access_key: str, secret_key: str, signed_seconds: int
) -> dict[str, Any]:
    """Return the entry of Django's STORAGES setting. `signed_seconds` is the lifetime of signed URLs."""
    client_config = Config(
        signature_version="s3v4",
        # TLS protects the body, or it goes to this machine. Its own hash in the signature would be computed beside that
        # of `generations.files.proven_writes`, which is signed.
        s3={"addressing_style": "path", "payload_signing_enabled": False},
        # One connection is kept for each copy that runs at the same time.
        max_pool_connections=32,
        connect_timeout=5,
        read_timeout=30,
        # Three attempts within seconds, with jitter. Longer outages are left to the copier.
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    options = {
        "bucket_name": name,
        "endpoint_url": endpoint_url or None,
        "region_name": region,
        "access_key": access_key or None,
        "secret_key": secret_key or None,
        "client_config": client_config,
        "transfer_config": _IN_PARTS,
        # Larger objects are spooled to disk when they are read; the default keeps them in memory.
        "max_memory_size": 8 * 1024**2,
        "default_acl": None,
        "querystring_auth": True,
        "querystring_expire": signed_seconds,
        "file_overwrite": True,
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
