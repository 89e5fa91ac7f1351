"""What was put and is no picture that can be used; and two who complete one upload at once."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from PIL import Image, ImageCms
from rest_framework.test import APIClient

from credits.models import Account
from generations.files import sandbox, sanitizing, uploads
from generations.files.media_types import NotMedia
from generations.jobs import leases
from generations.models import Upload
from tests.fixtures.uploads import UPLOADS, announced, put
from tests.helpers.images import age, brought, picture
from tests.helpers.threads import at_once
from tests.services.seaweed import Bucket
from tests.services.waiting import HANG_SECONDS

PAGE = b"<!doctype html><script>alert(1)</script>"


def bomb() -> bytes:
    """A PNG of few bytes that says it has 200 megapixels."""
    head = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 0, 0, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


NO_PICTURES: dict[str, bytes] = {
    "a page": PAGE,
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "a PDF": b"%PDF-1.7\n" + bytes(99),
    "a GIF": picture("GIF"),
    "a TIFF": picture("TIFF"),
    "cut short": picture("PNG", size=(200, 200))[:-60],
    "a bomb": bomb(),
    "a dot": picture(size=(1, 1)),
    "zeros": bytes(500),
}


@pytest.mark.once
@pytest.mark.django_db
@pytest.mark.parametrize("content", NO_PICTURES.values(), ids=NO_PICTURES)
def test_g13_g14_g16_what_is_no_picture_is_refused_for_good(api: APIClient, content: bytes) -> None:
    ticket = api.post(UPLOADS, announced(content)).json()
    put(ticket, content)

    answers = [api.post(f"{UPLOADS}{ticket['id']}/complete/") for _ in range(2)]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [(422, "not_a_picture")] * 2
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert not {"_io", "<", "cannot identify", "truncated"} & set(answers[0].json()["detail"].split())
    assert Upload.objects.get().state == Upload.State.REFUSED
    assert api.get(f"{UPLOADS}{ticket['id']}/content/").status_code == 404


@pytest.mark.django_db
@pytest.mark.usefixtures("either")
def test_g28_what_is_refused_does_not_stay_where_it_was_put(api: APIClient) -> None:
    ticket = api.post(UPLOADS, announced(PAGE)).json()
    put(ticket, PAGE)

    api.post(f"{UPLOADS}{ticket['id']}/complete/")

    assert not default_storage.exists(Upload.objects.get().incoming_key)


def takes(api: APIClient, end: Callable[[dict[str, Any]], Any]) -> int:
    """How much room is taken once such a page was announced, put and ended so."""
    ticket = api.post(UPLOADS, announced(PAGE)).json()
    put(ticket, PAGE)
    end(ticket)
    return uploads.bytes_used(Upload.objects.get().account)


ENDS: dict[str, Callable[[APIClient, dict[str, Any]], Any]] = {
    "refused": lambda api, ticket: api.post(f"{UPLOADS}{ticket['id']}/complete/"),
    "erased": lambda api, ticket: api.delete(f"{UPLOADS}{ticket['id']}/"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_g28_room_is_taken_while_an_address_of_the_bucket_may_bring_bytes(
    bucket: Bucket, api: APIClient, end: Callable[..., Any]
) -> None:
    taken = takes(api, lambda ticket: (end(api, ticket), put(ticket, PAGE)))
    assert default_storage.exists(Upload.objects.get().incoming_key)

    age(61)
    uploads.sweep(limit=10)

    assert (taken, uploads.bytes_used(Upload.objects.get().account)) == (len(PAGE), 0)
    assert bucket.keys() == []


@pytest.mark.django_db
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_in_a_folder_the_room_is_free_at_once(folder: object, api: APIClient, end: Callable[..., Any]) -> None:
    assert takes(api, lambda ticket: end(api, ticket)) == 0


@pytest.mark.django_db
def test_g28_what_hung_on_a_picture_takes_room_while_it_may_be_put_again(bucket: Bucket, api: APIClient) -> None:
    content = picture() + bytes(9_000)
    ticket = api.post(UPLOADS, announced(content)).json()
    put(ticket, content)

    api.post(f"{UPLOADS}{ticket['id']}/complete/")

    ready = Upload.objects.get()
    assert (ready.state, uploads.bytes_used(ready.account)) == ("ready", len(content))
    age(61)
    uploads.sweep(limit=10)
    assert uploads.bytes_used(ready.account) == ready.size_bytes


@pytest.mark.django_db
def test_what_is_erased_while_its_bytes_come_is_left_to_the_sweeper(folder: object, api: APIClient) -> None:
    ticket = api.post(UPLOADS, announced(PAGE)).json()
    upload = Upload.objects.get()

    with uploads._leased(upload):
        api.delete(f"{UPLOADS}{ticket['id']}/")

    assert uploads.bytes_used(upload.account) == len(PAGE)


@pytest.mark.django_db
def test_bytes_come_under_the_lease(folder: object, api: APIClient) -> None:
    ticket = api.post(UPLOADS, announced(PAGE)).json()

    with uploads._leased(Upload.objects.get()):
        assert put(ticket, PAGE) == 409

    assert put(ticket, PAGE) == 204


@pytest.mark.django_db
def test_a_form_never_had_an_address_so_its_room_is_free_at_once(bucket: Bucket, alice: User) -> None:
    upload = brought(alice)
    assert uploads.bytes_used(upload.account) == upload.size_bytes

    uploads.erase(upload)

    assert uploads.bytes_used(upload.account) == 0


@pytest.mark.django_db
def test_the_type_is_that_of_the_bytes_whatever_was_announced(alice: User) -> None:
    upload = brought(alice, picture("JPEG"), name="fox.png")

    assert (upload.content_type, upload.key.rpartition(".")[2]) == ("image/jpeg", "jpg")


@pytest.mark.django_db
def test_c13_what_hangs_on_a_picture_is_cut_off(alice: User) -> None:
    upload = brought(alice, picture() + PAGE)

    with default_storage.open(upload.key) as file:
        assert b"script" not in file.read()


# --- Cleaning, in the limited process ---


def cleaned(content: bytes) -> tuple[Any, bytes]:
    file, image, thumbnail = io.BytesIO(content), io.BytesIO(), io.BytesIO()
    return sanitizing.sanitize(file, image, thumbnail), image.getvalue()


@pytest.mark.once
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_kind_of_picture_comes_out_as_a_common_one(mode: str) -> None:
    content = picture("JPEG" if mode == "CMYK" else "PNG", "P" if mode == "PA" else mode)

    found, image = cleaned(content)

    assert (found.width, found.height) == (64, 48)
    assert cleaned(image)[0] == found


@pytest.mark.once
def test_a_picture_for_another_screen_keeps_its_colours() -> None:
    """A telephone's differ from a plain picture's; here the profile says that red is green."""
    common = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = common.replace(b"rXYZ", b"-XYZ").replace(b"gXYZ", b"rXYZ").replace(b"-XYZ", b"gXYZ")
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "PNG", icc_profile=swapped)

    with Image.open(io.BytesIO(cleaned(file.getvalue())[1])) as image:
        assert image.getpixel((8, 8)) == pytest.approx((0, 255, 0), abs=3)
        assert "icc_profile" not in image.info


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The limited process has a second."""
    sandbox.close()
    monkeypatch.setattr(sandbox, "SECONDS_MAX", 1)
    yield
    sandbox.close()


@pytest.mark.slow
@pytest.mark.once
def test_a_cleaner_that_dies_of_it_is_a_refusal(impatient: None, tmp_path) -> None:
    with (
        (tmp_path / "a").open("w+b") as file,
        (tmp_path / "b").open("w+b") as image,
        (tmp_path / "c").open("w+b") as small,
    ):
        file.write(picture("PNG", size=(7000, 7000)))

        with pytest.raises(NotMedia, match="too much memory or time"):
            sandbox.sanitize(file, image, small)


# --- Two at once ---


@pytest.fixture
def waiting(api: APIClient) -> Upload:
    """Put, and not completed."""
    ticket = api.post(UPLOADS, announced(picture())).json()
    put(ticket, picture())
    return Upload.objects.get()


class Counter:
    """Counts how often a picture was re-encoded. Each call waits until a second one has come or was refused."""

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
    def complete(number: int) -> str:
        try:
            return uploads.complete(Upload.objects.get(pk=upload.pk)).state
        except uploads.UploadError as error:
            counter.refuse()
            return type(error).__name__

    return sorted(at_once(2, complete))


@pytest.mark.django_db(transaction=True)
def test_two_who_complete_it_at_once_do_it_once(waiting: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter()
    monkeypatch.setattr(sandbox, "sanitize", counter)

    assert complete_twice(waiting, counter) == ["InProgress", "ready"]
    assert counter.count == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_lease_both_do_it(waiting: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    counter = Counter()
    monkeypatch.setattr(sandbox, "sanitize", counter)
    monkeypatch.setattr(leases, "claim", lambda rows, **details: list(rows))

    complete_twice(waiting, counter)

    assert counter.count == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_postgresql
def test_g28_two_who_announce_at_once_do_not_share_the_last_room(alice: User, settings) -> None:
    settings.UPLOAD_MEGABYTES_MAX = 1
    account = Account.objects.for_user(alice)

    def announce(number: int) -> str:
        try:
            uploads.create(account, file_name="a", content_type="image/png", size_bytes=700_000)
        except uploads.QuotaExceeded:
            return "no room"
        return "announced"

    assert sorted(at_once(4, announce)) == ["announced", "no room", "no room", "no room"]
