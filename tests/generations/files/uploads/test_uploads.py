"""An upload from its declaration to its erasure: in a folder and in a bucket."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.utils import timezone
from PIL import Image
from rest_framework.test import APIClient

from generations.files import storage, uploads
from generations.jobs import leases
from generations.models import Upload
from generations.workers import storage_cleaner
from tests.fixtures.api import read_to_the_end
from tests.fixtures.uploads import UPLOADS, declaration, put_bytes, read_url
from tests.helpers.clocks import all_clocks_at
from tests.helpers.images import age_uploads, photo_with_metadata, picture, ready_upload, stored_bytes
from tests.services.seaweed import Bucket

pytestmark = pytest.mark.django_db
UploadImage = Callable[..., dict[str, Any]]


# --- In a folder and in a bucket ---


@pytest.mark.usefixtures("each_storage")
def test_an_image_is_declared_put_and_completed(api: APIClient) -> None:
    content = picture()

    created = api.post(UPLOADS, declaration(content))
    assert (created.status_code, created.json()["method"]) == (201, "PUT")
    assert put_bytes(created.json(), content) in (200, 204)
    completed = api.post(f"{UPLOADS}{created.json()['id']}/complete/")

    body = completed.json()
    assert (completed.status_code, body["state"]) == (200, "ready")
    assert (body["width"], body["height"], body["content_type"]) == (64, 48, "image/png")
    upload = Upload.objects.get()
    assert storage.measure(upload.key).sha256 == body["sha256"]
    assert not default_storage.exists(upload.incoming_key)


@pytest.mark.usefixtures("each_storage")
def test_its_urls_serve_the_image_and_a_thumbnail(api: APIClient, upload_image: UploadImage) -> None:
    body = upload_image(picture(size=(1000, 500)))
    upload = Upload.objects.get()

    with Image.open(io.BytesIO(stored_bytes(upload.thumbnail_key))) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (320, 160))
    assert read_to_the_end(api.get(body["thumbnail_url"])).status_code in (200, 302)
    assert read_url(body["url"]) == stored_bytes(upload.key)


@pytest.mark.usefixtures("each_storage")
def test_g15_it_is_upright_and_without_metadata(upload_image: UploadImage) -> None:
    body = upload_image(photo_with_metadata(), content_type="image/jpeg")
    upload = Upload.objects.get()

    assert b"Alice" not in stored_bytes(upload.key) + stored_bytes(upload.thumbnail_key)
    assert (body["width"], body["height"]) == (48, 64)


@pytest.mark.usefixtures("each_storage")
def test_completing_it_again_changes_nothing(api: APIClient, upload_image: UploadImage) -> None:
    body = upload_image()
    before = Upload.objects.values().get()

    again = api.post(f"{UPLOADS}{body['id']}/complete/").json()

    assert {**again, "url": "", "url_expires_at": ""} == {**body, "url": "", "url_expires_at": ""}
    assert Upload.objects.values().get() == before


@pytest.mark.usefixtures("each_storage")
def test_completing_it_before_the_bytes_are_put_can_be_repeated(api: APIClient) -> None:
    content = picture()
    created = api.post(UPLOADS, declaration(content)).json()

    early = api.post(f"{UPLOADS}{created['id']}/complete/")
    put_bytes(created, content)

    assert (early.status_code, early.json()["code"]) == (409, "not_uploaded")
    assert api.post(f"{UPLOADS}{created['id']}/complete/").status_code == 200


@pytest.mark.usefixtures("each_storage")
def test_g21_bytes_that_are_put_after_its_completion_are_never_used(api: APIClient) -> None:
    """Its URL is valid for ten minutes, but the sanitized image has another key."""
    good, evil = picture(size=(40, 30)), b"x" * len(picture(size=(40, 30)))
    created = api.post(UPLOADS, declaration(good)).json()
    put_bytes(created, good)
    body = api.post(f"{UPLOADS}{created['id']}/complete/").json()

    put_bytes(created, evil)

    upload = Upload.objects.get()
    assert storage.measure(upload.key).sha256 == body["sha256"]
    age_uploads(61)
    uploads.clean_up(limit=10)
    assert not default_storage.exists(upload.incoming_key)
    assert storage.measure(upload.key).sha256 == body["sha256"]


@pytest.mark.usefixtures("each_storage")
def test_an_upload_that_is_not_completed_in_time_is_cleaned_up(api: APIClient) -> None:
    content = picture()
    created = api.post(UPLOADS, declaration(content)).json()
    put_bytes(created, content)

    age_uploads(61)
    late = api.post(f"{UPLOADS}{created['id']}/complete/")
    assert (uploads.clean_up(limit=10), uploads.clean_up(limit=10)) == (1, 0)
    later = api.post(f"{UPLOADS}{created['id']}/complete/")

    assert [(each.status_code, each.json()["code"]) for each in (late, later)] == [(410, "upload_expired")] * 2
    upload = Upload.objects.get()
    assert not default_storage.exists(upload.incoming_key)
    assert upload.state == Upload.State.EXPIRED


@pytest.mark.usefixtures("each_storage")
def test_an_erased_upload_is_gone_with_its_files(api: APIClient, upload_image: UploadImage) -> None:
    body = upload_image()
    upload = Upload.objects.get()

    assert api.delete(f"{UPLOADS}{body['id']}/").status_code == 204

    assert not any(default_storage.exists(key) for key in (upload.key, upload.thumbnail_key))
    assert api.delete(f"{UPLOADS}{body['id']}/").status_code == 404
    assert api.get(UPLOADS).json()["results"] == []


# --- The bucket accepts exactly what was declared ---


@pytest.fixture
def in_bucket(bucket: Bucket, api: APIClient) -> dict[str, Any]:
    """A created upload, to be PUT to the bucket."""
    created: dict[str, Any] = api.post(UPLOADS, declaration(picture())).json()
    return created


@pytest.mark.once
def test_g21_the_bucket_refuses_another_key_type_or_length(bucket: Bucket, in_bucket: dict[str, Any]) -> None:
    other_key = {**in_bucket, "url": in_bucket["url"].replace("/incoming", "/image.png")}

    statuses = [put_bytes(other_key, picture()), put_bytes(in_bucket, picture(), **{"Content-Type": "text/html"})]
    statuses += [
        put_bytes(in_bucket, content, **{"Content-Length": str(len(content))})
        for content in (picture() + b"x", picture()[:-1], b"")
    ]

    assert statuses == [403] * 5
    assert bucket.keys() == []


@pytest.mark.once
def test_g21_the_bucket_refuses_bytes_after_ten_minutes(
    bucket: Bucket, api: APIClient, in_bucket: dict[str, Any]
) -> None:
    with all_clocks_at(timezone.now() - timedelta(seconds=uploads.PUT_SECONDS + 5)):
        expired = api.post(UPLOADS, declaration(picture())).json()

    assert put_bytes(expired, picture()) == 403
    assert bucket.keys() == []
    seconds = int(in_bucket["url"].partition("X-Amz-Expires=")[2].partition("&")[0])
    # Less by the time that the request took.
    assert uploads.PUT_SECONDS / 2 < seconds <= uploads.PUT_SECONDS
    assert "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost" in in_bucket["url"]


# --- And so does Limn, without a bucket ---


@pytest.fixture
def in_folder(folder: object, api: APIClient) -> dict[str, Any]:
    """A created upload, to be PUT to Limn."""
    created: dict[str, Any] = api.post(UPLOADS, declaration(picture())).json()
    return created


@pytest.mark.once
def test_g21_limn_refuses_another_type_or_length(in_folder: dict[str, Any]) -> None:
    statuses = [
        put_bytes(in_folder, picture(), **{"Content-Type": "text/html"}),
        put_bytes(in_folder, picture() + b"x"),
        put_bytes(in_folder, picture()[:-1]),
    ]

    assert statuses == [422] * 3
    assert not default_storage.exists(Upload.objects.get().incoming_key)


@pytest.mark.usefixtures("in_folder")
def test_a_truncated_body_is_not_kept() -> None:
    upload = Upload.objects.get()

    with pytest.raises(uploads.Mismatch, match="bytes arrived"):
        uploads.receive(upload, io.BytesIO(picture()[:-9]))

    assert not default_storage.exists(upload.incoming_key)


def test_a_ticket_is_valid_for_one_upload_and_for_ten_minutes(in_folder: dict[str, Any], api: APIClient) -> None:
    other = api.post(UPLOADS, declaration(picture())).json()
    of_another_upload = {**in_folder, "url": other["url"].partition("?")[0] + "?" + in_folder["url"].partition("?")[2]}

    with all_clocks_at(timezone.now() + timedelta(seconds=uploads.PUT_SECONDS + 1)):
        expired = put_bytes(in_folder, picture())

    assert (put_bytes(of_another_upload, picture()), expired) == (401, 401)


def test_a_ticket_for_reading_is_not_valid_for_uploading(upload_image: UploadImage, anonymous: APIClient) -> None:
    body = upload_image()

    assert read_to_the_end(anonymous.get(body["url"])).body == stored_bytes(Upload.objects.get().key)
    assert anonymous.put(body["url"], picture(), content_type="image/png").status_code == 401


def test_with_a_ticket_no_csrf_token_is_needed(in_folder: dict[str, Any], alice: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice)

    assert browser.put(in_folder["url"], picture(), content_type="image/png").status_code == 204


def test_a_completed_upload_accepts_no_more_bytes(upload_image: UploadImage, api: APIClient) -> None:
    body = upload_image()

    answer = api.put(f"{UPLOADS}{body['id']}/content/", picture(), content_type="image/png")

    assert (answer.status_code, answer.json()["code"]) == (409, "already_finished")


# --- Declarations ---

WRONG_DECLARATIONS: list[dict[str, Any]] = [
    {"size": 0},
    {"size": uploads.BYTES_MAX + 1},
    {"size": "9"},
    {"content_type": "image/gif"},
    {"content_type": "image/svg+xml"},
    {"file_name": ""},
    {"file_name": "a\nb"},
    {"file_name": "x" * 256},
    {"key": "uploads/mine"},
]


@pytest.mark.once
def test_a_wrong_declaration_is_refused_with_its_location(api: APIClient) -> None:
    for change in WRONG_DECLARATIONS:
        answer = api.post(UPLOADS, declaration(picture(), **change))

        assert (answer.status_code, [error["loc"] for error in answer.json()["errors"]]) == (422, [list(change)])
    assert not Upload.objects.exists()


@pytest.mark.once
def test_g13_a_file_name_is_kept_and_is_part_of_no_path(upload_image: UploadImage) -> None:
    body = upload_image(file_name="../../../etc/pässwd.png.exe")

    assert body["file_name"] == "../../../etc/pässwd.png.exe"
    assert re.fullmatch(rf"uploads/{body['id']}/[0-9a-f-]{{36}}\.png", Upload.objects.get().key)


# --- Failures ---


def test_an_unavailable_storage_is_no_reason_to_refuse_an_image(bucket: Bucket, api: APIClient, settings) -> None:
    created = api.post(UPLOADS, declaration(picture())).json()
    put_bytes(created, picture())
    available, unreachable = settings.STORAGES, Bucket(name="none", endpoint_url="http://127.0.0.1:9")

    settings.STORAGES = {**available, "default": unreachable.storage}
    failed = api.post(f"{UPLOADS}{created['id']}/complete/")
    settings.STORAGES = available

    assert (failed.status_code, failed.json()["code"]) == (503, "unavailable")
    assert api.post(f"{UPLOADS}{created['id']}/complete/").status_code == 200


@pytest.mark.usefixtures("folder")
def test_files_of_a_process_that_died_are_cleaned_up(alice: User) -> None:
    upload = ready_upload(alice)
    Upload.objects.update(state=Upload.State.PENDING, cleaned_up_at=None)

    age_uploads(61)
    storage_cleaner.run_once(limit=10)

    assert Upload.objects.get().state == Upload.State.EXPIRED
    assert not any(default_storage.exists(key) for key in (upload.key, upload.thumbnail_key))


@pytest.mark.usefixtures("folder")
def test_e3_a_process_that_lost_its_lease_changes_nothing(alice: User) -> None:
    upload = uploads.create(ready_upload(alice).account, file_name="b", content_type="image/png", size_bytes=9)
    (leased,) = leases.claim(Upload.objects.filter(pk=upload.pk), limit=1, seconds=9)
    Upload.objects.filter(pk=upload.pk).update(lease=None)

    uploads._held(leased).update(state=Upload.State.REFUSED)

    upload.refresh_from_db()
    assert upload.state == Upload.State.PENDING
