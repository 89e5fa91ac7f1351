"""`request_signing` signs as boto3 does."""

from __future__ import annotations

import io
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import time_machine
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import NoCredentialsError
from storages.backends.s3 import S3Storage
from urllib3 import HTTPResponse

from config import s3
from generations.files import request_signing

pytestmark = pytest.mark.unit

QUERY = {
    "response-content-type": "image/svg+xml; charset=utf-8",
    "response-content-disposition": 'inline; filename="limn-a b.png"',
}


def bucket_at(endpoint_url: str, region: str) -> Any:
    entry = s3.storage(
        name="limn-files",
        endpoint_url=endpoint_url,
        region=region,
        access_key="AKIDEXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        signed_seconds=60,
    )
    return S3Storage(**entry["OPTIONS"]).bucket


ENDPOINTS = [
    ("http://127.0.0.1:8333", "eu-central-1"),
    ("https://account.r2.cloudflarestorage.com", "auto"),
    ("https://storage.example.com:9000/s3", "auto"),
    ("", "eu-central-1"),
    ("", "us-east-1"),
]
KEYS = ("generations/1/0.png", "uploads/ä b+c&d=e~f(1)'!*.png")


@pytest.mark.parametrize("endpoint_url, region", ENDPOINTS)
def test_a_url_is_that_of_boto3(endpoint_url: str, region: str) -> None:
    bucket = bucket_at(endpoint_url, region)
    for key in KEYS:
        for token in (None, "session/token=="):
            bucket.meta.client._request_signer._credentials.token = token
            with time_machine.travel("2026-11-29T23:59:59Z", tick=False):
                url = request_signing.url_for_reading(bucket, key, query=QUERY, seconds=3600)
                by_boto3 = bucket.meta.client.generate_presigned_url(
                    "get_object",
                    Params={
                        "Bucket": bucket.name,
                        "Key": key,
                        "ResponseContentType": QUERY["response-content-type"],
                        "ResponseContentDisposition": QUERY["response-content-disposition"],
                    },
                    ExpiresIn=3600,
                )

            assert _parts(url) == _parts(by_boto3)


@pytest.mark.parametrize("endpoint_url, region", ENDPOINTS)
@pytest.mark.parametrize("token", [None, "session/token=="])
def test_the_headers_of_a_write_are_those_of_boto3(endpoint_url: str, region: str, token: str | None) -> None:
    bucket = bucket_at(endpoint_url, region)
    client = bucket.meta.client
    client._request_signer._credentials.token = token
    sent: list[AWSPreparedRequest] = []
    client.meta.events.register("before-send.s3.PutObject", partial(_answer, sent))
    for key in KEYS:
        with time_machine.travel("2026-11-29T23:59:59Z", tick=False):
            client.put_object(Bucket=bucket.name, Key=key, Body=b"fox", ContentType="image/png", ChecksumSHA256="abc=")
            by_boto3 = {name.lower(): _text(value) for name, value in sent[-1].headers.items()}
            names = by_boto3["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
            # All but those that `put_request` adds.
            headers = {name: by_boto3[name] for name in names if name not in ("host", "x-amz-date")}
            url, signed = request_signing.put_request(bucket, key, headers)

        assert (url, signed) == (sent[-1].url, {name: by_boto3[name] for name in signed})
        assert {"content-type", "x-amz-checksum-sha256", "x-amz-content-sha256", "authorization"} <= set(signed)


def test_each_day_has_its_signing_key() -> None:
    bucket = bucket_at("https://s3.example.com", "auto")
    urls = []
    for day in ("2026-11-29", "2026-11-30"):
        with time_machine.travel(f"{day}T12:00:00Z", tick=False):
            urls.append(request_signing.url_for_reading(bucket, "key", query={}, seconds=60))
            signed = bucket.meta.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket.name, "Key": "key"}, ExpiresIn=60
            )
            assert _parts(urls[-1]) == _parts(signed)

    assert urls[0] != urls[1]


def _parts(url: str) -> tuple[str, str, str, list[tuple[str, str]]]:
    """The URL with its query in a fixed order: boto3 signs it sorted, and sends it as it came."""
    split = urlsplit(url)
    return split.scheme, split.netloc, split.path, sorted(parse_qsl(split.query, strict_parsing=True))


def _answer(sent: list[AWSPreparedRequest], request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    """Answer a request of boto3, which is then not sent."""
    sent.append(request)
    return AWSResponse(request.url, 200, HTTPHeaders(), HTTPResponse(io.BytesIO(), preload_content=False))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def test_without_credentials_it_raises_what_boto3_raises() -> None:
    """The copier waits and repeats after such an error. Any other would count as a crash, and give the file up."""
    bucket = bucket_at("http://minio:9000", "us-east-1")
    bucket.meta.client._request_signer._credentials = None

    with pytest.raises(NoCredentialsError):
        request_signing.put_request(bucket, "key", {})
