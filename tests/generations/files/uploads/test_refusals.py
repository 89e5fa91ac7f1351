"""Uploads that are refused, the storage that uploads use, and concurrent requests for one upload."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db.models import QuerySet
from rest_framework.test import APIClient

from credits.models import Account
from generations.files import sandbox, uploads
from generations.jobs import leases
from generations.models import Upload
from tests.fixtures.uploads import UPLOADS, declaration, put_bytes
from tests.generations.files.example_files import png_bomb
from tests.helpers.images import age_uploads, picture, ready_upload, stored_bytes
from tests.helpers.threads import at_once
from tests.services.seaweed import Bucket
from tests.services.waiting import HANG_SECONDS

PAGE = b"<!doctype html><script>alert(1)</script>"
NOT_IMAGES: dict[str, bytes] = {
    "a page": PAGE,
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "a PDF": b"%PDF-1.7\n" + bytes(99),
    "a GIF": picture("GIF"),
    "a TIFF": picture("TIFF"),
    "a truncated image": picture("PNG", size=(200, 200))[:-60],
    "a bomb": png_bomb(20_000, 10_000),
    "a single pixel": picture(size=(1, 1)),
    "zeros": bytes(500),
}


def create_and_put(api: APIClient, content: bytes) -> dict[str, Any]:
    """Create an upload of this content and PUT it. Returns the response to the creation."""
    created: dict[str, Any] = api.post(UPLOADS, declaration(content)).json()
    put_bytes(created, content)
    return created


@pytest.mark.once
@pytest.mark.django_db
@pytest.mark.parametrize("content", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_g13_g14_g16_a_file_that_is_no_image_is_refused_for_good(api: APIClient, content: bytes) -> None:
    created = create_and_put(api, content)

    answers = [api.post(f"{UPLOADS}{created['id']}/complete/") for _ in range(2)]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [(422, "not_a_picture")] * 2
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    # The message is for customers and repeats nothing of the decoder's.
    assert not {"_io", "<", "cannot identify", "truncated"} & set(answers[0].json()["detail"].split())
    assert Upload.objects.get().state == Upload.State.REFUSED
    assert api.get(f"{UPLOADS}{created['id']}/content/").status_code == 404


@pytest.mark.django_db
@pytest.mark.usefixtures("each_storage")
def test_g28_refused_bytes_are_deleted(api: APIClient) -> None:
    created = create_and_put(api, PAGE)

    api.post(f"{UPLOADS}{created['id']}/complete/")

    assert not default_storage.exists(Upload.objects.get().incoming_key)


@pytest.mark.django_db
def test_the_content_type_is_that_of_the_bytes(alice: User) -> None:
    upload = ready_upload(alice, picture("JPEG"), name="fox.png")

    assert (upload.content_type, upload.key.rpartition(".")[2]) == ("image/jpeg", "jpg")


@pytest.mark.django_db
def test_c13_data_behind_an_image_is_removed(alice: User) -> None:
    upload = ready_upload(alice, picture() + PAGE)

    assert b"script" not in stored_bytes(upload.key)


# --- The quota ---


def bytes_used() -> int:
    return uploads.bytes_used(Upload.objects.get().account)


@pytest.mark.django_db
def test_g28_an_account_cannot_exceed_its_quota(api: APIClient, settings, upload_image: Callable[..., Any]) -> None:
    settings.UPLOAD_MEGABYTES_MAX = 1
    body = upload_image(picture(size=(300, 300)))

    refused = api.post(UPLOADS, declaration(picture(), size=1024**2))
    api.delete(f"{UPLOADS}{body['id']}/")

    assert (refused.status_code, refused.json()["code"]) == (413, "storage_full")
    assert api.post(UPLOADS, declaration(picture(), size=1024**2)).status_code == 201


ENDS: dict[str, Callable[[APIClient, dict[str, Any]], Any]] = {
    "refused": lambda api, created: api.post(f"{UPLOADS}{created['id']}/complete/"),
    "erased": lambda api, created: api.delete(f"{UPLOADS}{created['id']}/"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_g28_space_counts_while_bytes_can_be_put_to_the_bucket(
    bucket: Bucket, api: APIClient, end: Callable[..., Any]
) -> None:
    created = create_and_put(api, PAGE)
    end(api, created)
    put_bytes(created, PAGE)
    assert default_storage.exists(Upload.objects.get().incoming_key)
    assert bytes_used() == len(PAGE)

    age_uploads(61)
    uploads.clean_up(limit=10)

    assert bytes_used() == 0
    assert bucket.keys() == []


@pytest.mark.django_db
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_without_a_bucket_the_space_is_free_at_once(api: APIClient, end: Callable[..., Any]) -> None:
    end(api, create_and_put(api, PAGE))

    assert bytes_used() == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("bucket")
def test_g28_data_behind_an_image_counts_while_it_can_be_put_again(api: APIClient) -> None:
    content = picture() + bytes(9_000)
    created = create_and_put(api, content)

    api.post(f"{UPLOADS}{created['id']}/complete/")

    upload = Upload.objects.get()
    assert (upload.state, bytes_used()) == ("ready", len(content))
    age_uploads(61)
    uploads.clean_up(limit=10)
    assert bytes_used() == upload.size_bytes


@pytest.mark.django_db
@pytest.mark.usefixtures("bucket")
def test_the_space_of_an_image_from_a_form_is_free_at_once(alice: User) -> None:
    """It never had a URL."""
    upload = ready_upload(alice)
    assert bytes_used() == upload.size_bytes

    uploads.erase(upload)

    assert bytes_used() == 0


# --- Concurrent requests ---


@pytest.mark.django_db
@pytest.mark.usefixtures("folder")
def test_an_upload_that_is_erased_while_its_bytes_arrive_is_left_to_the_sweep(api: APIClient) -> None:
    created = api.post(UPLOADS, declaration(PAGE)).json()

    with uploads._leased(Upload.objects.get()):
        api.delete(f"{UPLOADS}{created['id']}/")

    assert bytes_used() == len(PAGE)


@pytest.mark.django_db
@pytest.mark.usefixtures("folder")
def test_bytes_are_stored_under_the_lease(api: APIClient) -> None:
    created = api.post(UPLOADS, declaration(PAGE)).json()

    with uploads._leased(Upload.objects.get()):
        assert put_bytes(created, PAGE) == 409

    assert put_bytes(created, PAGE) == 204


@pytest.fixture
def uploaded(api: APIClient) -> Upload:
    """An upload whose bytes were PUT, to be completed."""
    create_and_put(api, picture())
    return Upload.objects.get()


class Counter:
    """Counts how often an image is sanitized. Each call waits until a second one has come or was refused."""

    def __init__(self) -> None:
        self.count, self.refused = 0, 0
        self.changed = threading.Condition()
        self.real: Callable[..., Any] = sandbox.sanitize

    def __call__(self, *files: Any) -> Any:
        with self.changed:
            self.count += 1
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.count + self.refused == 2, HANG_SECONDS)
        return self.real(*files)

    def refuse(self) -> None:
        with self.changed:
            self.refused += 1
            self.changed.notify_all()


def complete_twice(upload: Upload, counter: Counter) -> list[str]:
    """Complete an upload in two threads. Returns the states and errors."""

    def complete(number: int) -> str:
        try:
            return uploads.complete(Upload.objects.get(pk=upload.pk)).state
        except uploads.UploadError as error:
            counter.refuse()
            return type(error).__name__

    return sorted(at_once(2, complete))


@pytest.mark.django_db(transaction=True)
def test_of_two_concurrent_completions_one_does_the_work(uploaded: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter()
    monkeypatch.setattr(sandbox, "sanitize", counter)

    assert complete_twice(uploaded, counter) == ["InProgress", "ready"]
    assert counter.count == 1


def claim_in_any_case(rows: QuerySet[Upload], **details: Any) -> list[Upload]:
    rows.update(lease=uuid4())
    return list(rows)


@pytest.mark.django_db(transaction=True)
def test_without_the_lease_both_completions_do_the_work(uploaded: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    counter = Counter()
    monkeypatch.setattr(sandbox, "sanitize", counter)
    monkeypatch.setattr(leases, "claim", claim_in_any_case)

    complete_twice(uploaded, counter)

    assert counter.count == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_postgresql
def test_g28_of_concurrent_declarations_one_gets_the_last_space(alice: User, settings) -> None:
    settings.UPLOAD_MEGABYTES_MAX = 1
    account = Account.objects.for_user(alice)

    def create(number: int) -> str:
        try:
            uploads.create(account, file_name="a", content_type="image/png", size_bytes=700_000)
        except uploads.QuotaExceeded:
            return "refused"
        return "created"

    assert sorted(at_once(4, create)) == ["created", "refused", "refused", "refused"]
