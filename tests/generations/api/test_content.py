"""The content of outputs: complete or in parts, with headers that keep a browser from running it, and signed URLs."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
import requests
from django.core.files.storage import default_storage
from rest_framework.test import APIClient

from generations.files import signed_urls, storage
from generations.http import byte_ranges
from generations.models import Output
from tests.fixtures.api import GENERATIONS, PlaceOrder, picture, read_to_the_end, store
from tests.helpers.clocks import all_clocks_at
from tests.services.seaweed import DOMAIN, Bucket
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db


@pytest.fixture
def output(completed: PlaceOrder) -> Output:
    return completed().outputs.get()


@pytest.fixture
def url(output: Output) -> str:
    return f"/api/v1/outputs/{output.pk}/content/"


def get(client: APIClient, url: str, **headers: str):
    """The response, read to its end."""
    return read_to_the_end(client.get(url, headers=headers))


def test_the_owner_gets_the_stored_bytes(api: APIClient, output: Output, url: str) -> None:
    response = get(api, url)

    assert response.status_code == 200
    assert response.body == picture()
    assert response["Content-Length"] == str(output.size_bytes)


def test_the_headers_keep_a_browser_from_running_the_file(api: APIClient, output: Output, url: str) -> None:
    response = get(api, url)

    assert response["Content-Type"] == "image/png"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox"
    assert response["Content-Disposition"] == f'inline; filename="limn-{output.generation_id.hex[-12:]}-0.png"'
    assert response["ETag"] == f'"{output.sha256}"'


@pytest.mark.parametrize(
    "content_type, disposition, extension",
    [
        ("video/mp4", "inline", "mp4"),
        ("model/gltf-binary", "attachment", "glb"),
        ("application/octet-stream", "attachment", "png"),
    ],
)
def test_a_file_that_a_browser_cannot_display_is_downloaded(
    api: APIClient, storing: PlaceOrder, content_type: str, disposition: str, extension: str
) -> None:
    output = store(storing().outputs.get(), content_type=content_type)

    header = get(api, f"/api/v1/outputs/{output.pk}/content/")["Content-Disposition"]

    assert header.startswith(disposition)
    assert header.endswith(f'.{extension}"')


def test_head_returns_the_headers_without_the_file(api: APIClient, output: Output, url: str) -> None:
    response = api.head(url)

    assert (response.status_code, response.content) == (200, b"")
    assert response["Content-Length"] == str(output.size_bytes)
    assert response["Accept-Ranges"] == "bytes"


def test_a_file_that_the_client_has_is_not_sent_again(api: APIClient, output: Output, url: str) -> None:
    assert get(api, url, **{"If-None-Match": f'"{output.sha256}"'}).status_code == 304


def test_the_accept_header_is_ignored(api: APIClient, url: str) -> None:
    for accept in ("image/avif,image/webp,*/*;q=0.8", "image/png", "text/html"):
        assert get(api, url, Accept=accept).status_code == 200, accept


# --- Ranges ---


def test_a_range_returns_that_part_of_the_file(api: APIClient, url: str) -> None:
    parts = {
        "bytes=0-9": slice(0, 10),
        "bytes=5-": slice(5, None),
        "bytes=-7": slice(-7, None),
        "bytes=3-3": slice(3, 4),
        "bytes=0-999999": slice(0, None),
        "bytes=-999999": slice(0, None),
    }

    for header, part in parts.items():
        response = get(api, url, Range=header)

        start, stop, _ = part.indices(len(picture()))
        assert response.status_code == 206, header
        assert response["Content-Range"] == f"bytes {start}-{stop - 1}/{len(picture())}", header
        assert response.body == picture()[part], header


def test_a_range_beyond_the_end_is_refused(api: APIClient, url: str) -> None:
    for header in ("bytes=999999-", "bytes=-0"):
        response = get(api, url, Range=header)

        assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable"), header
        assert response["Content-Range"] == f"bytes */{len(picture())}", header


def test_a_range_that_is_invalid_or_not_supported_returns_the_whole_file(api: APIClient, url: str) -> None:
    for header in ("bytes=-", "bytes=9-3", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes=٣-٤", ""):
        response = get(api, url, Range=header)

        assert (response.status_code, response.body) == (200, picture()), header


def test_a_range_of_a_different_file_returns_the_whole_file(api: APIClient, output: Output, url: str) -> None:
    other = get(api, url, **{"Range": "bytes=0-9", "If-Range": '"something else"'})
    same = get(api, url, **{"Range": "bytes=0-9", "If-Range": f'"{output.sha256}"'})

    assert (other.status_code, same.status_code) == (200, 206)


def test_a_large_file_is_sent_in_chunks(storing: PlaceOrder, api: APIClient) -> None:
    large = picture() + bytes(3 * byte_ranges.CHUNK_BYTES)
    output = store(storing().outputs.get(), large)

    chunks = list(api.get(f"/api/v1/outputs/{output.pk}/content/"))

    assert max(map(len, chunks)) == byte_ranges.CHUNK_BYTES
    assert b"".join(chunks) == large


# --- Signed URLs ---


def rendered(api: APIClient, output: Output) -> dict[str, str]:
    """The output in the JSON of its generation, with a new signed URL."""
    return dict(api.get(f"{GENERATIONS}{output.generation_id}/").json()["outputs"][0])


def test_the_url_of_an_output_opens_without_an_api_key(api: APIClient, anonymous: APIClient, output: Output) -> None:
    response = get(anonymous, rendered(api, output)["url"])

    assert response.body == picture()


def test_a_signed_url_expires_at_the_given_time(api: APIClient, anonymous: APIClient, output: Output) -> None:
    shown = rendered(api, output)
    expires_at = datetime.fromisoformat(shown["url_expires_at"])

    with all_clocks_at(expires_at - timedelta(seconds=1)):
        before = get(anonymous, shown["url"]).status_code
    with all_clocks_at(expires_at + timedelta(seconds=2)):
        after = get(anonymous, shown["url"])

    assert (before, after.status_code) == (200, 401)
    assert after.json()["detail"] == "This signature is wrong or has expired."


def test_a_ticket_opens_no_other_file(
    api: APIClient, anonymous: APIClient, completed: PlaceOrder, output: Output
) -> None:
    ticket = urlsplit(rendered(api, output)["url"]).query
    other = completed().outputs.get()

    assert get(anonymous, f"/api/v1/outputs/{other.pk}/content/?{ticket}").status_code == 401


def test_a_forged_ticket_opens_nothing(anonymous: APIClient, url: str) -> None:
    for ticket in ("", "nonsense", "a:b:c", "%00", "ü", "x" * 5000):
        assert get(anonymous, f"{url}?ticket={ticket}").status_code == 401, ticket


def test_the_owner_gets_the_file_even_with_an_expired_ticket(api: APIClient, url: str) -> None:
    assert get(api, f"{url}?ticket=expired").status_code == 200


# --- Missing files ---


def test_a_file_that_is_not_stored_yet_is_not_found(api: APIClient, storing: PlaceOrder) -> None:
    output = storing().outputs.get()

    assert get(api, f"/api/v1/outputs/{output.pk}/content/").status_code == 404


def test_a_file_that_was_deleted_from_storage_is_not_found(api: APIClient, output: Output, url: str) -> None:
    default_storage.delete(output.key)

    response = get(api, url)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


# --- In a bucket ---


def test_a_file_in_a_bucket_is_a_redirect_to_a_new_signed_url(
    bucket: Bucket, api: APIClient, output: Output, url: str
) -> None:
    response = get(api, url)

    assert response.status_code == 302
    assert response["Cache-Control"] == "no-store"
    assert response["Location"] == signed_urls.in_bucket(output)
    assert api.head(url).status_code == 200


def test_the_url_of_an_output_in_a_bucket_is_that_of_the_bucket(bucket: Bucket, api: APIClient, output: Output) -> None:
    url = rendered(api, output)["url"]

    assert url.startswith(bucket.endpoint_url)
    assert "X-Amz-Signature" in url


@pytest.mark.once
def test_c31_a_signed_url_of_the_bucket_opens_one_file_until_it_expires(bucket: Bucket, output: Output) -> None:
    def status_of(url: str) -> int:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(url, timeout=HANG_SECONDS).status_code

    url, other = str(signed_urls.in_bucket(output)), f"generations/{output.generation_id}/1.png"
    storage.put(other, io.BytesIO(b"another file"), content_type="image/png")
    short = str(storage.signed_url(output.key, seconds=1, file_name="cat.png", content_type="image/png"))

    assert status_of(url) == 200
    assert status_of(url.replace(output.key, other)) == 403
    assert status_of(url.replace("X-Amz-Signature=", "X-Amz-Signature=0")) == 403
    assert status_of(url.replace("X-Amz-Expires=", "X-Amz-Expires=9")) == 403
    until(lambda: status_of(short) == 403, what="the expiry of the signed URL")


@pytest.mark.once
def test_a_custom_domain_of_the_bucket_serves_its_signed_urls(
    settings, bucket: Bucket, api: APIClient, output: Output
) -> None:
    settings.AWS_S3_CUSTOM_DOMAIN = f"{bucket.name}.{DOMAIN}"

    url = rendered(api, output)["url"]

    assert url.startswith(f"https://{settings.AWS_S3_CUSTOM_DOMAIN}/{output.key}?")
    # The domain does not resolve here, so its requests are sent to the server of the bucket.
    host = {"Host": settings.AWS_S3_CUSTOM_DOMAIN}
    direct = url.replace(f"https://{settings.AWS_S3_CUSTOM_DOMAIN}", bucket.endpoint_url)
    with requests.Session() as session:
        session.trust_env = False
        response = session.get(direct, headers=host, timeout=HANG_SECONDS)
        forged = session.get(direct.replace("Signature=", "Signature=0"), headers=host, timeout=HANG_SECONDS)
    assert (response.status_code, len(response.content), forged.status_code) == (200, output.size_bytes, 403)
    assert response.headers["Content-Type"] == output.content_type


def test_without_a_bucket_the_custom_domain_is_ignored(settings, api: APIClient, output: Output) -> None:
    settings.AWS_S3_CUSTOM_DOMAIN = "files.example.com"

    assert "ticket=" in rendered(api, output)["url"]
