"""The files: streamed in parts, labelled by our own findings, for their owner or for a while."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
import requests
import time_machine
from django.core.files.storage import default_storage
from rest_framework.test import APIClient

from generations.files import signed_urls, storage
from generations.http import byte_ranges
from generations.models import Output
from tests.fixtures.api import GENERATIONS, Ordering, picture, read_to_the_end, store
from tests.services.seaweed import DOMAIN, Bucket
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db


@pytest.fixture
def output(completed: Ordering) -> Output:
    return completed().outputs.get()


@pytest.fixture
def address(output: Output) -> str:
    return f"/api/v1/outputs/{output.pk}/content/"


def get(client: APIClient, address: str, **headers: str):
    """The answer, read to its end."""
    return read_to_the_end(client.get(address, headers=headers))


def test_the_owner_gets_the_very_bytes(api: APIClient, output: Output, address: str) -> None:
    response = get(api, address)

    assert response.status_code == 200
    assert response.body == picture()
    assert response["Content-Length"] == str(output.size_bytes)


def test_it_is_labelled_so_that_no_browser_runs_it(api: APIClient, output: Output, address: str) -> None:
    response = get(api, address)

    assert response["Content-Type"] == "image/png"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox"
    assert response["Content-Disposition"] == f'inline; filename="limn-{output.generation_id.hex[-12:]}-0.png"'
    assert response["ETag"] == f'"{output.sha256}"'


@pytest.mark.parametrize(
    "content_type, how, extension",
    [
        ("video/mp4", "inline", "mp4"),
        ("model/gltf-binary", "attachment", "glb"),
        ("application/octet-stream", "attachment", "png"),
    ],
)
def test_what_a_browser_cannot_show_is_for_keeping(
    api: APIClient, storing: Ordering, content_type: str, how: str, extension: str
) -> None:
    output = store(storing().outputs.get(), content_type=content_type)

    disposition = get(api, f"/api/v1/outputs/{output.pk}/content/")["Content-Disposition"]

    assert disposition.startswith(how)
    assert disposition.endswith(f'.{extension}"')


def test_head_says_all_and_sends_nothing(api: APIClient, output: Output, address: str) -> None:
    response = api.head(address)

    assert (response.status_code, response.content) == (200, b"")
    assert response["Content-Length"] == str(output.size_bytes)
    assert response["Accept-Ranges"] == "bytes"


def test_what_one_has_is_not_sent_again(api: APIClient, output: Output, address: str) -> None:
    assert get(api, address, **{"If-None-Match": f'"{output.sha256}"'}).status_code == 304


@pytest.mark.parametrize("accept", ["image/avif,image/webp,*/*;q=0.8", "image/png", "text/html"])
def test_a_picture_is_sent_to_whoever_asks_for_pictures(api: APIClient, address: str, accept: str) -> None:
    assert get(api, address, Accept=accept).status_code == 200


@pytest.mark.parametrize(
    "header, part",
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=3-3", slice(3, 4)),
        ("bytes=0-999999", slice(0, None)),
        ("bytes=-999999", slice(0, None)),
    ],
)
def test_a_part_is_sent_as_asked(api: APIClient, address: str, header: str, part: slice) -> None:
    response = get(api, address, Range=header)

    start, stop, _ = part.indices(len(picture()))
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/{len(picture())}"
    assert response.body == picture()[part]


@pytest.mark.parametrize("header", ["bytes=999999-", "bytes=-0"])
def test_a_part_beyond_the_end_is_refused(api: APIClient, address: str, header: str) -> None:
    response = get(api, address, Range=header)

    assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")
    assert response["Content-Range"] == f"bytes */{len(picture())}"


@pytest.mark.parametrize("header", ["bytes=-", "bytes=9-3", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes=٣-٤", ""])
def test_a_range_that_is_not_understood_means_all(api: APIClient, address: str, header: str) -> None:
    response = get(api, address, Range=header)

    assert response.status_code == 200
    assert response.body == picture()


def test_a_part_of_another_file_is_not_mixed_in(api: APIClient, output: Output, address: str) -> None:
    other = get(api, address, **{"Range": "bytes=0-9", "If-Range": '"something else"'})
    same = get(api, address, **{"Range": "bytes=0-9", "If-Range": f'"{output.sha256}"'})

    assert (other.status_code, same.status_code) == (200, 206)


def test_a_big_file_is_read_in_small_pieces(storing: Ordering, api: APIClient) -> None:
    big = picture() + bytes(3 * byte_ranges.CHUNK_BYTES)
    output = store(storing().outputs.get(), big)

    pieces = list(api.get(f"/api/v1/outputs/{output.pk}/content/"))

    assert max(map(len, pieces)) == byte_ranges.CHUNK_BYTES
    assert b"".join(pieces) == big


# --- Signed addresses ---


def signed(api: APIClient, output: Output) -> dict[str, str]:
    return dict(api.get(f"{GENERATIONS}{output.generation_id}/").json()["outputs"][0])


def test_the_url_of_an_output_opens_without_a_key(api: APIClient, anonymous: APIClient, output: Output) -> None:
    response = get(anonymous, signed(api, output)["url"])

    assert response.body == picture()


def test_it_lapses_when_it_says_so(api: APIClient, anonymous: APIClient, output: Output) -> None:
    shown = signed(api, output)
    expires_at = datetime.fromisoformat(shown["url_expires_at"])

    with time_machine.travel(expires_at - timedelta(seconds=1), tick=False):
        before = get(anonymous, shown["url"]).status_code
    with time_machine.travel(expires_at + timedelta(seconds=2), tick=False):
        after = get(anonymous, shown["url"])

    assert (before, after.status_code) == (200, 401)
    assert after.json()["detail"] == "This signature is wrong or has expired."


def test_it_opens_no_other_file(api: APIClient, anonymous: APIClient, completed: Ordering, output: Output) -> None:
    ticket = urlsplit(signed(api, output)["url"]).query
    other = completed().outputs.get()

    assert get(anonymous, f"/api/v1/outputs/{other.pk}/content/?{ticket}").status_code == 401


@pytest.mark.parametrize("ticket", ["", "nonsense", "a:b:c", "%00", "ü", "x" * 5000])
def test_a_forged_ticket_opens_nothing(anonymous: APIClient, address: str, ticket: str) -> None:
    assert get(anonymous, f"{address}?ticket={ticket}").status_code == 401


def test_the_owner_needs_no_ticket_even_beside_a_bad_one(api: APIClient, address: str) -> None:
    assert get(api, f"{address}?ticket=stale").status_code == 200


# --- What is not there ---


def test_a_file_that_has_not_arrived_is_not_found(api: APIClient, storing: Ordering) -> None:
    output = storing().outputs.get()

    assert get(api, f"/api/v1/outputs/{output.pk}/content/").status_code == 404


def test_a_file_that_somebody_deleted_is_not_found(api: APIClient, output: Output, address: str) -> None:
    default_storage.delete(output.key)

    response = get(api, address)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


# --- In a bucket ---


def test_in_a_bucket_the_address_leads_to_a_fresh_signed_one(
    bucket: Bucket, api: APIClient, output: Output, address: str
) -> None:
    response = get(api, address)

    assert response.status_code == 302
    assert response["Cache-Control"] == "no-store"
    assert response["Location"] == signed_urls.in_bucket(output)
    assert api.head(address).status_code == 200


def test_in_a_bucket_the_url_is_the_buckets(bucket: Bucket, api: APIClient, output: Output) -> None:
    url = signed(api, output)["url"]

    assert url.startswith(bucket.endpoint_url)
    assert "X-Amz-Signature" in url


@pytest.mark.once
def test_c31_an_address_of_the_bucket_opens_one_file_for_a_while(bucket: Bucket, output: Output) -> None:
    def opens(url: str) -> int:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(url, timeout=HANG_SECONDS).status_code

    url, other = str(signed_urls.in_bucket(output)), f"generations/{output.generation_id}/1.png"
    storage.put(other, io.BytesIO(b"another file"), content_type="image/png")
    brief = str(storage.signed_url(output.key, seconds=1, file_name="cat.png", content_type="image/png"))

    assert opens(url) == 200
    assert opens(url.replace(output.key, other)) == 403
    assert opens(url.replace("X-Amz-Signature=", "X-Amz-Signature=0")) == 403
    assert opens(url.replace("X-Amz-Expires=", "X-Amz-Expires=9")) == 403
    until(lambda: opens(brief) == 403, what="the end of the address")


@pytest.mark.once
def test_in_a_bucket_with_a_domain_of_its_owners_files_are_shown_under_that(
    settings, bucket: Bucket, api: APIClient, output: Output
) -> None:
    settings.AWS_S3_CUSTOM_DOMAIN = f"{bucket.name}.{DOMAIN}"

    url = signed(api, output)["url"]

    assert url.startswith(f"https://{settings.AWS_S3_CUSTOM_DOMAIN}/{output.key}?")
    there = {"Host": settings.AWS_S3_CUSTOM_DOMAIN}
    by_its_owner = url.replace(f"https://{settings.AWS_S3_CUSTOM_DOMAIN}", bucket.endpoint_url)
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(by_its_owner, headers=there, timeout=HANG_SECONDS)
        forged = session.get(by_its_owner.replace("Signature=", "Signature=0"), headers=there, timeout=HANG_SECONDS)
    assert (answer.status_code, len(answer.content), forged.status_code) == (200, output.size_bytes, 403)
    assert answer.headers["Content-Type"] == output.content_type


def test_without_a_bucket_a_domain_changes_nothing(settings, api: APIClient, output: Output) -> None:
    settings.AWS_S3_CUSTOM_DOMAIN = "files.example.com"

    assert "ticket=" in signed(api, output)["url"]
