"""Signs URLs with which anyone can read an object of the bucket for a while (AWS Signature Version 4, in the query).

boto3 resolves the endpoint, validates parameters and derives the signing key for each URL, which takes 2,000 Python
calls. Each JSON of an output has such a URL, so it is signed here; a test compares the result with boto3's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
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
    client = bucket.meta.client
    # boto3 has no public access to them. Temporary credentials are refreshed here if they are about to expire.
    credentials = client._request_signer._credentials.get_frozen_credentials()
    region = client.meta.region_name
    base = urlsplit(base_url or _base_url(bucket))
    path = f"{base.path}/{quote(key, safe='/' + _SAFE)}"
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    parameters = {
        **query,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": now,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.token is not None:
        parameters["X-Amz-Security-Token"] = credentials.token
    # Sorted, as they are signed.
    encoded = urlencode(sorted(parameters.items()), quote_via=quote, safe=_SAFE)
    request = f"GET\n{path}\n{encoded}\nhost:{base.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"{_ALGORITHM}\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(_signing_key(credentials.secret_key, now[:8], region), text.encode(), "sha256").hexdigest()
    return f"{base.scheme}://{base.netloc}{path}?{encoded}&X-Amz-Signature={signature}"


def _base_url(bucket: Any) -> str:
    client = bucket.meta.client
    identity = (client.meta.endpoint_url, client.meta.region_name, bucket.name)
    if identity not in _base_urls:
        signed = client.generate_presigned_url("get_object", Params={"Bucket": bucket.name, "Key": "key"})
        _base_urls[identity] = signed.partition("?")[0].removesuffix("/key")
    return _base_urls[identity]


@lru_cache(maxsize=4)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    """Return the key of a day (`20261129`), with which all requests of that day are signed."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
