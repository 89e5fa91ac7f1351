"""STORAGE_PREFIX: everything of a deployment is below it, and two deployments in one storage do not see each other."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from generations.files import signed_urls, storage, storage_mark
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.services.seaweed import Bucket
from tests.simulator.queue_client import get

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("each_storage")]

KEY = "generations/1/0.png"


def everything(each_storage: Path | Bucket) -> list[str]:
    if isinstance(each_storage, Bucket):
        return each_storage.keys()
    return sorted(path.relative_to(each_storage).as_posix() for path in each_storage.rglob("*") if path.is_file())


def test_an_order_is_stored_below_the_prefix(
    settings, each_storage: Path | Bucket, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    settings.STORAGE_PREFIX = "teams/blue/"
    storage_mark.verify()

    output = work.until_done(order()).outputs.get()

    assert everything(each_storage) == [f"teams/blue/{output.key}", f"teams/blue/{storage_mark.KEY}"]
    assert [listed.key for listed in storage.list_page()] == [output.key]
    with storage.open_file(output.key) as file:
        assert len(file.read()) == output.size_bytes


def test_signed_urls_contain_the_prefix(
    settings, bucket: Bucket, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    settings.STORAGE_PREFIX = "blue/"
    output = work.until_done(order()).outputs.get()

    assert len(get(signed_urls.for_reading(output).url).raise_for_status().content) == output.size_bytes
    url = storage.signed_upload_url(KEY, content_type="image/png", size_bytes=1, seconds=60)
    assert f"/blue/{KEY}?" in str(url)


@pytest.mark.parametrize("mine, other", [("a/", "ab/"), ("ab/", "a/"), ("a/", "a/b/"), ("", "a/"), ("a/", "")])
def test_two_deployments_in_one_storage_see_only_their_own_files(
    settings, each_storage: Path | Bucket, mine: str, other: str
) -> None:
    for prefix in (mine, other):
        settings.STORAGE_PREFIX = prefix
        storage_mark.verify()
        storage.put(KEY, io.BytesIO(prefix.encode() or b"-"), content_type="image/png")

    settings.STORAGE_PREFIX = mine
    assert [listed.key for listed in storage.list_page()] == [KEY]
    storage.empty_place("generations/1/0")

    assert everything(each_storage) == sorted(
        [f"{other}{KEY}", f"{other}{storage_mark.KEY}", f"{mine}{storage_mark.KEY}"]
    )


def test_pages_of_a_listing_continue_behind_the_prefix(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.STORAGE_PREFIX = "blue/"
    monkeypatch.setattr(storage, "PAGE_KEYS_MAX", 1)
    for number in (1, 2):
        storage.put(f"generations/{number}/0.png", io.BytesIO(b"x"), content_type="image/png")

    (first,) = storage.list_page()
    (second,) = storage.list_page(after=first.key)

    assert (first.key, second.key) == ("generations/1/0.png", "generations/2/0.png")
    assert storage.list_page(after=second.key) == []
