"""Storage and rows drift apart, and are brought together again. Case ids: docs/failure-modes.md, groups C and F."""

from __future__ import annotations

import io
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from database.ids import new_id
from generations.files import storage
from generations.lifecycle import failed, failure
from generations.models import FailureCode, Generation, Heartbeat, Output
from generations.workers import heartbeats
from generations.workers.storage_cleaner import PASS, StorageCleaner
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.services.seaweed import Bucket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("each_storage")]


def leave(generation: UUID, name: str = "7.png") -> str:
    """A file that no row knows of."""
    key = f"generations/{generation}/{name}"
    storage.put(key, io.BytesIO(b"a picture"), content_type="image/png")
    return key


def keys() -> set[str]:
    return {listed.key for listed in storage.list_page()}


def sweep(*, hours_from_now: float = 25) -> int:
    """A pass as it will be in so many hours."""
    Heartbeat.objects.filter(name=PASS).delete()
    return StorageCleaner(clock=lambda: timezone.now() + timedelta(hours=hours_from_now)).run_once(limit=100)


@pytest.fixture
def done(fal: Simulator, order: PlaceOrder, work: Work) -> Generation:
    """Three pictures in storage."""
    return work.until_done(order(prompt="cats", num_images=3))


# --- What nobody needs ---


def test_f12_what_no_row_needs_is_deleted_after_a_day(done: Generation) -> None:
    mine = keys()
    leave(done.pk), leave(new_id()), leave(new_id(), "not/ours.txt")

    sweep()

    assert keys() == mine == set(done.outputs.values_list("key", flat=True))


def test_f12_what_is_younger_may_still_be_at_work(done: Generation) -> None:
    young = leave(done.pk)

    sweep(hours_from_now=23)

    assert young in keys()


def test_f12_a_file_of_a_generation_in_progress_stays(done: Generation, order: PlaceOrder) -> None:
    """Copied, and its worker died before it said so: the next one finds it there."""
    waiting = leave(order().pk)

    sweep()

    assert waiting in keys()


def test_c32_what_was_copied_for_a_generation_that_has_failed_goes(
    done: Generation, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.until(generation.outputs.exists)
    orphan = leave(generation.pk, "0.jpg")
    failed(generation, failure(FailureCode.CANCELLED), actor="test")

    sweep()

    assert orphan not in keys()
    assert generation.outputs.get().state == Output.State.LOST


def test_c32_a_copy_that_ends_after_the_end_changes_nothing(
    done: Generation, fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = order()
    work.until(generation.outputs.exists)
    put = storage.put

    def put_and_fail(*args, **options) -> None:
        put(*args, **options)
        failed(generation, failure(FailureCode.CANCELLED), actor="test")

    monkeypatch.setattr(storage, "put", put_and_fail)
    work.copy()

    output = generation.outputs.get()
    assert (output.state, output.key) == (Output.State.LOST, "")
    sweep()
    assert keys() == set(done.outputs.values_list("key", flat=True))


# --- What is missing ---


def test_f12_a_missing_file_is_an_alarm(done: Generation, caplog: pytest.LogCaptureFixture) -> None:
    gone = done.outputs.get(index=1)
    storage.delete(gone.key)

    sweep()

    (alarm,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (alarm.__dict__["count"], alarm.__dict__["first"]) == (1, gone.key)
    assert keys() == set(done.outputs.exclude(pk=gone.pk).values_list("key", flat=True))


def test_f12_an_empty_storage_is_an_alarm_for_all(done: Generation, caplog: pytest.LogCaptureFixture) -> None:
    for key in keys():
        storage.delete(key)

    sweep()

    assert [record.__dict__["count"] for record in caplog.records if record.levelname == "ERROR"] == [3]


def test_f12_all_well_is_not_worth_a_word(done: Generation, caplog: pytest.LogCaptureFixture) -> None:
    sweep()

    assert [record for record in caplog.records if "storage_cleaner" in record.name] == []


# --- Not ours ---


def test_a_storage_full_of_strangers_is_left_alone(done: Generation, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody else's Limn, or a database from last week: they may be the only copies."""
    strangers = {leave(new_id()) for _ in range(4)}

    sweep()

    assert strangers < keys()
    assert "belong to no row" in caplog.text


def test_what_lies_beside_our_files_is_not_looked_at(done: Generation) -> None:
    storage.put("backups/1.sql", io.BytesIO(b"x"), content_type="text/plain")

    sweep()

    assert storage.measure("backups/1.sql").size_bytes == 1


# --- Page by page, once a day ---


def test_a_pass_goes_page_by_page(done: Generation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PAGE_KEYS_MAX", 2)
    leave(done.pk), leave(done.pk, "8.png")
    sweeper = StorageCleaner(clock=lambda: timezone.now() + timedelta(hours=25))

    pages = [sweeper.run_once(limit=1) for _ in range(4)]

    assert pages == [1, 1, 1, 0]
    assert keys() == set(done.outputs.values_list("key", flat=True)[:2])


def test_a_missing_file_is_counted_once_however_small_the_pages(
    done: Generation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storage, "PAGE_KEYS_MAX", 1)
    storage.delete(done.outputs.get(index=0).key)
    storage.delete(done.outputs.get(index=2).key)

    sweep()

    assert sum(record.__dict__["count"] for record in caplog.records if record.levelname == "ERROR") == 2


def test_a_pass_a_day_is_enough(done: Generation) -> None:
    assert StorageCleaner().run_once(limit=5) == 1
    assert StorageCleaner().run_once(limit=5) == 0

    Heartbeat.objects.update(seen_at=timezone.now() - timedelta(hours=25))

    assert StorageCleaner().run_once(limit=5) == 1


# --- Only in a bucket ---


def test_c24_uploads_that_nobody_ends_are_ended(bucket: Bucket) -> None:
    key = f"generations/{new_id()}/0.mp4"
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    bucket.client.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=bytes(6_000_000))

    sweep(hours_from_now=23)
    assert len(bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]) == 1

    sweep()
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


def test_a_storage_that_is_away_is_looked_through_another_day(
    settings, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    away = Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    settings.STORAGES = {**settings.STORAGES, "default": away.storage}

    assert sweep() == 0

    assert "storage could not be listed" in caplog.text
    assert heartbeats.age(PASS) is not None
