"""From an announced picture to one that can be used: the same in a folder and in a bucket."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
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
from tests.fixtures.uploads import UPLOADS, announced, fetched, put
from tests.helpers.images import age, brought, lying, picture, telling
from tests.services.seaweed import Bucket

pytestmark = pytest.mark.django_db
Bring = Callable[..., dict[str, Any]]


# --- In a folder and in a bucket ---


@pytest.mark.usefixtures("either")
def test_a_picture_is_announced_put_and_completed(api: APIClient) -> None:
    content = picture()

    answer = api.post(UPLOADS, announced(content))
    assert (answer.status_code, answer.json()["method"]) == (201, "PUT")
    assert put(answer.json(), content) in (200, 204)
    done = api.post(f"{UPLOADS}{answer.json()['id']}/complete/")

    assert (done.status_code, done.json()["state"]) == (200, "ready")
    assert (done.json()["width"], done.json()["height"], done.json()["content_type"]) == (64, 48, "image/png")
    kept = Upload.objects.get()
    assert storage.measure(kept.key).sha256 == done.json()["sha256"]
    assert not default_storage.exists(kept.incoming_key)


@pytest.mark.usefixtures("either")
def test_its_address_opens_and_its_thumbnail_is_small(api: APIClient, bring: Bring) -> None:
    made = bring(picture(size=(1000, 500)))
    kept = Upload.objects.get()

    with Image.open(io.BytesIO(lying(kept.thumbnail_key))) as small:
        assert (small.format, small.size) == ("WEBP", (320, 160))
    assert read_to_the_end(api.get(made["thumbnail_url"])).status_code in (200, 302)
    assert fetched(made["url"]) == lying(kept.key)


@pytest.mark.usefixtures("either")
def test_g15_it_stands_upright_and_tells_nothing_of_its_owner(bring: Bring) -> None:
    made = bring(telling(), content_type="image/jpeg")
    kept = Upload.objects.get()

    assert b"Alice" not in lying(kept.key) + lying(kept.thumbnail_key)
    assert (made["width"], made["height"]) == (48, 64)


@pytest.mark.usefixtures("either")
def test_completing_it_again_changes_nothing_and_answers_the_same(api: APIClient, bring: Bring) -> None:
    made = bring()
    before = Upload.objects.values().get()

    again = api.post(f"{UPLOADS}{made['id']}/complete/").json()

    assert {**again, "url": "", "url_expires_at": ""} == {**made, "url": "", "url_expires_at": ""}
    assert Upload.objects.values().get() == before


@pytest.mark.usefixtures("either")
def test_nothing_to_complete_is_said_and_can_still_be_put(api: APIClient) -> None:
    content = picture()
    ticket = api.post(UPLOADS, announced(content)).json()

    early = api.post(f"{UPLOADS}{ticket['id']}/complete/")
    put(ticket, content)

    assert (early.status_code, early.json()["code"]) == (409, "not_uploaded")
    assert api.post(f"{UPLOADS}{ticket['id']}/complete/").status_code == 200


@pytest.mark.usefixtures("either")
def test_g21_bytes_that_are_put_after_it_was_completed_are_never_used(api: APIClient) -> None:
    """The address holds for ten minutes; what was looked at lies elsewhere."""
    good, evil = picture(size=(40, 30)), b"x" * len(picture(size=(40, 30)))
    ticket = api.post(UPLOADS, announced(good)).json()
    put(ticket, good)
    done = api.post(f"{UPLOADS}{ticket['id']}/complete/").json()

    put(ticket, evil)

    kept = Upload.objects.get()
    assert storage.measure(kept.key).sha256 == done["sha256"]
    age(61)
    uploads.sweep(limit=10)
    assert not default_storage.exists(kept.incoming_key)
    assert storage.measure(kept.key).sha256 == done["sha256"]


@pytest.mark.usefixtures("either")
def test_what_is_not_completed_in_time_is_swept(api: APIClient) -> None:
    content = picture()
    ticket = api.post(UPLOADS, announced(content)).json()
    put(ticket, content)
    kept = Upload.objects.get()

    age(61)
    late = api.post(f"{UPLOADS}{ticket['id']}/complete/")
    assert (uploads.sweep(limit=10), uploads.sweep(limit=10)) == (1, 0)
    later = api.post(f"{UPLOADS}{ticket['id']}/complete/")

    assert (
        (late.status_code, late.json()["code"]) == (later.status_code, later.json()["code"]) == (410, "upload_expired")
    )
    assert not default_storage.exists(kept.incoming_key)
    assert Upload.objects.get().state == Upload.State.EXPIRED


@pytest.mark.usefixtures("either")
def test_an_erased_upload_is_gone_with_its_files(api: APIClient, bring: Bring) -> None:
    made = bring()
    kept = Upload.objects.get()

    assert api.delete(f"{UPLOADS}{made['id']}/").status_code == 204

    assert not any(default_storage.exists(key) for key in (kept.key, kept.thumbnail_key))
    assert api.delete(f"{UPLOADS}{made['id']}/").status_code == 404
    assert api.get(UPLOADS).json()["results"] == []


# --- The bucket refuses whatever was not announced ---


@pytest.fixture
def ticket(bucket: Bucket, api: APIClient) -> dict[str, Any]:
    found: dict[str, Any] = api.post(UPLOADS, announced(picture())).json()
    return found


@pytest.mark.once
def test_g21_another_key_is_refused(bucket: Bucket, ticket: dict[str, Any]) -> None:
    elsewhere = {**ticket, "url": ticket["url"].replace("/incoming", "/image.png")}

    assert put(elsewhere, picture()) == 403
    assert bucket.keys() == []


@pytest.mark.once
def test_g21_another_type_is_refused(bucket: Bucket, ticket: dict[str, Any]) -> None:
    assert put(ticket, picture(), **{"Content-Type": "text/html"}) == 403
    assert bucket.keys() == []


@pytest.mark.once
@pytest.mark.parametrize("content", [picture() + b"x", picture()[:-1], b""], ids=["longer", "shorter", "empty"])
def test_g21_another_length_is_refused(bucket: Bucket, ticket: dict[str, Any], content: bytes) -> None:
    assert put(ticket, content, **{"Content-Length": str(len(content))}) == 403
    assert bucket.keys() == []


@pytest.mark.once
def test_g21_a_late_put_is_refused(bucket: Bucket, api: APIClient) -> None:
    with time_machine.travel(timezone.now() - timedelta(seconds=uploads.PUT_SECONDS + 5), tick=False):
        late = api.post(UPLOADS, announced(picture())).json()

    assert put(late, picture()) == 403
    assert bucket.keys() == []


@pytest.mark.once
def test_the_address_holds_for_ten_minutes_at_most(ticket: dict[str, Any]) -> None:
    seconds = int(ticket["url"].partition("X-Amz-Expires=")[2].partition("&")[0])

    assert 590 < seconds <= 600
    assert "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost" in ticket["url"]


# --- And so do we, where there is none ---


@pytest.fixture
def of_ours(folder: object, api: APIClient) -> dict[str, Any]:
    found: dict[str, Any] = api.post(UPLOADS, announced(picture())).json()
    return found


WRONG = {
    "another type": (picture(), {"Content-Type": "text/html"}, 422),
    "longer": (picture() + b"x", {}, 422),
    "shorter": (picture()[:-1], {}, 422),
}


@pytest.mark.once
@pytest.mark.parametrize("content, headers, status", WRONG.values(), ids=WRONG)
def test_what_was_not_announced_is_not_taken(
    of_ours: dict[str, Any], content: bytes, headers: dict[str, str], status: int
) -> None:
    assert put(of_ours, content, **headers) == status
    assert not default_storage.exists(Upload.objects.get().incoming_key)


def test_a_body_that_ends_early_is_not_kept(of_ours: dict[str, Any]) -> None:
    upload = Upload.objects.get()

    with pytest.raises(uploads.Mismatch, match="bytes arrived"):
        uploads.receive(upload, io.BytesIO(picture()[:-9]))

    assert not default_storage.exists(upload.incoming_key)


def test_a_ticket_opens_one_upload_for_ten_minutes(of_ours: dict[str, Any], api: APIClient) -> None:
    other = api.post(UPLOADS, announced(picture())).json()
    crossed = {**of_ours, "url": other["url"].partition("?")[0] + "?" + of_ours["url"].partition("?")[2]}

    with time_machine.travel(timezone.now() + timedelta(seconds=601)):
        late = put(of_ours, picture())

    assert (put(crossed, picture()), late) == (401, 401)


def test_the_ticket_for_reading_does_not_put(bring: Bring, anonymous: APIClient) -> None:
    made = bring()

    assert read_to_the_end(anonymous.get(made["url"])).body == lying(Upload.objects.get().key)
    assert anonymous.put(made["url"], picture(), content_type="image/png").status_code == 401


def test_who_puts_by_a_ticket_is_not_asked_for_a_token_of_his_session(of_ours: dict[str, Any], alice: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice)

    assert browser.put(of_ours["url"], picture(), content_type="image/png").status_code == 204


def test_what_is_complete_takes_no_more_bytes(bring: Bring, api: APIClient) -> None:
    made = bring()

    answer = api.put(f"{UPLOADS}{made['id']}/content/", picture(), content_type="image/png")

    assert (answer.status_code, answer.json()["code"]) == (409, "already_finished")


# --- What cannot be ---

NO_UPLOADS: list[tuple[dict[str, Any], list[str]]] = [
    ({"size": 0}, ["size"]),
    ({"size": uploads.BYTES_MAX + 1}, ["size"]),
    ({"size": "9"}, ["size"]),
    ({"content_type": "image/gif"}, ["content_type"]),
    ({"content_type": "image/svg+xml"}, ["content_type"]),
    ({"file_name": ""}, ["file_name"]),
    ({"file_name": "a\nb"}, ["file_name"]),
    ({"file_name": "x" * 256}, ["file_name"]),
    ({"key": "uploads/mine"}, ["key"]),
]


@pytest.mark.once
@pytest.mark.parametrize("change, loc", NO_UPLOADS)
def test_what_cannot_be_announced_is_told_by_its_place(api: APIClient, change: dict[str, Any], loc: list[str]) -> None:
    answer = api.post(UPLOADS, announced(picture(), **change))

    assert (answer.status_code, [error["loc"] for error in answer.json()["errors"]]) == (422, [loc])
    assert not Upload.objects.exists()


@pytest.mark.once
def test_g13_a_name_is_kept_and_is_no_path(bring: Bring) -> None:
    made = bring(file_name="../../../etc/pässwd.png.exe")

    assert made["file_name"] == "../../../etc/pässwd.png.exe"
    assert Upload.objects.get().key == f"uploads/{made['id']}/image.png"


def test_g28_there_is_room_for_so_much_and_no_more(api: APIClient, settings, bring: Bring) -> None:
    settings.UPLOAD_MEGABYTES_MAX = 1
    made = bring(picture(size=(300, 300)))

    full = api.post(UPLOADS, announced(picture(), size=1024**2))
    api.delete(f"{UPLOADS}{made['id']}/")

    assert (full.status_code, full.json()["code"]) == (413, "storage_full")
    assert api.post(UPLOADS, announced(picture(), size=1024**2)).status_code == 201


def test_a_storage_that_is_away_is_no_verdict(bucket: Bucket, api: APIClient, settings) -> None:
    ticket = api.post(UPLOADS, announced(picture())).json()
    put(ticket, picture())
    here, away = settings.STORAGES, Bucket(name="none", endpoint_url="http://127.0.0.1:9")

    settings.STORAGES = {**here, "default": away.storage}
    refused = api.post(f"{UPLOADS}{ticket['id']}/complete/")
    settings.STORAGES = here

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert api.post(f"{UPLOADS}{ticket['id']}/complete/").status_code == 200


def test_what_a_crash_left_behind_is_swept_by_its_row(alice: User, folder: object) -> None:
    upload = brought(alice)
    Upload.objects.update(state=Upload.State.PENDING, swept_at=None)

    age(61)
    storage_cleaner.run_once(limit=10)

    assert Upload.objects.get().state == Upload.State.EXPIRED
    assert not any(default_storage.exists(key) for key in (upload.key, upload.thumbnail_key))


def test_who_slept_through_his_lease_decides_nothing(alice: User, folder: object) -> None:
    """E3: the row says who has it."""
    upload = uploads.create(brought(alice).account, file_name="b", content_type="image/png", size_bytes=9)
    (mine,) = leases.claim(Upload.objects.filter(pk=upload.pk), limit=1, seconds=9)
    Upload.objects.filter(pk=upload.pk).update(lease=None)

    uploads._update_leased(mine, state=Upload.State.REFUSED)

    upload.refresh_from_db()
    assert upload.state == Upload.State.PENDING
