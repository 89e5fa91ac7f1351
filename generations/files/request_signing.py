"""Signs requests to the bucket: URLs for reading, and the headers of writes (AWS Signature Version 4).

boto3 resolves the endpoint, validates parameters and derives the signing key for each request, which takes thousands of
Python calls. Each JSON of an output has such a URL, and each copy is such a write, so they are signed here; tests
compare the results with boto3's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from botocore.exceptions import NoCredentialsError

_ALGORITHM = "AWS4-HMAC-SHA256"
# The content is not hashed for the signature. The checksum of a write is a header of its own, which is signed.
_CONTENT_HASH = "UNSIGNED-PAYLOAD"
# The characters that SigV4 does not encode; in a path the slash as well.
_SAFE = "-._~"

_base_urls: dict[tuple[str, str, str], str] = {}
"""By endpoint, region and name: the URL of a bucket, as boto3 has resolved it."""


def url_for_reading(
    bucket: Any, key: str, *, query: Mapping[str, str], seconds: int, base_url: str | None = None
) -> str:
    """Return a signed URL of an object.

    Args:
        bucket: The bucket as an object of boto3, which knows the endpoint, the region and the credentials.
        key: The key of the object.
        query: Parameters of the request, such as `response-content-type`.
        seconds: How long it is valid.
        base_url: The URL of the bucket, if it is not that of the endpoint.
    """
    signer, url = _Signer(bucket), urlsplit(_url(bucket, key, base_url))
    parameters = {
        **query,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": signer.credential,
        "X-Amz-Date": signer.time,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if signer.token is not None:
        parameters["X-Amz-Security-Token"] = signer.token
    # Sorted, as they are signed.
    encoded = urlencode(sorted(parameters.items()), quote_via=quote, safe=_SAFE)
    signature = signer.signature(f"GET\n{url.path}\n{encoded}\nhost:{url.netloc}\n\nhost\n{_CONTENT_HASH}")
    return f"{url.geturl()}?{encoded}&X-Amz-Signature={signature}"


def put_request(bucket: Any, key: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the URL and all headers of a PUT that writes an object. It is valid for some minutes.

    Args:
        bucket: The bucket as an object of boto3.
        key: The key of the object.
        headers: Headers to sign, with names in lower case.
    """
    signer, url = _Signer(bucket), urlsplit(_url(bucket, key))
    signed = {**headers, "x-amz-content-sha256": _CONTENT_HASH, "x-amz-date": signer.time}
    if signer.token is not None:
        signed["x-amz-security-token"] = signer.token
    # The host is signed as well. The HTTP client sends it.
    lines = dict(sorted({**signed, "host": url.netloc}.items()))
    names = ";".join(lines)
    canonical = "".join(f"{name}:{value}\n" for name, value in lines.items())
    signature = signer.signature(f"PUT\n{url.path}\n\n{canonical}\n{names}\n{_CONTENT_HASH}")
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={signer.credential}, SignedHeaders={names}, Signature={signature}"
    )
    return url.geturl(), signed


class _Signer:
    """Signs one request, now."""

    def __init__(self, bucket: Any) -> None:
        client = bucket.meta.client
        # boto3 has no public access to them. Temporary credentials are refreshed here if they are about to expire.
        credentials = client._request_signer._credentials
        if credentials is None:
            raise NoCredentialsError
        credentials = credentials.get_frozen_credentials()
        self.time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.token: str | None = credentials.token
        self._scope = f"{self.time[:8]}/{client.meta.region_name}/s3/aws4_request"
        self.credential = f"{credentials.access_key}/{self._scope}"
        self._key = _signing_key(credentials.secret_key, self.time[:8], client.meta.region_name)

    def signature(self, request: str) -> str:
        """Return the signature of a request in its canonical form."""
        text = f"{_ALGORITHM}\n{self.time}\n{self._scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()


def _url(bucket: Any, key: str, base_url: str | None = None) -> str:
    if base_url is None:
        client = bucket.meta.client
        identity = (client.meta.endpoint_url, client.meta.region_name, bucket.name)
        if identity not in _base_urls:
            resolved = client.generate_presigned_url("get_object", Params={"Bucket": bucket.name, "Key": "key"})
            _base_urls[identity] = resolved.partition("?")[0].removesuffix("/key")
        base_url = _base_urls[identity]
    return f"{base_url}/{quote(key, safe='/' + _SAFE)}"


@lru_cache(maxsize=4)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    """Return the key of a day (`20261129`), with which all requests of that day are signed."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
