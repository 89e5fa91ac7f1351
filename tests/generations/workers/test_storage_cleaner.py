"""The storage cleaner: unneeded files are deleted, and missing ones are reported.

Case ids: docs/failure-modes.md, groups C and F.
"""

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


@pytest.fixture
def completed(fal: Simulator, order: PlaceOrder, work: Work) -> Generation:
    """A generation with three files in storage."""
    return work.until_done(order(prompt="cats", num_images=3))


def store(generation: UUID, name: str = "7.png") -> str:
    """Stores a file that no row names. Returns its key."""
    key = f"generations/{generation}/{name}"
    storage.put(key, io.BytesIO(b"an image"), content_type="image/png")
    return key


def stored_keys() -> set[str]:
    return {listed.key for listed in storage.list_page()}


def keys_of(generation: Generation) -> set[str]:
    return set(generation.outputs.values_list("key", flat=True))


def cleaner_in(hours: float) -> StorageCleaner:
    """A cleaner whose clock is this many hours ahead."""
    return StorageCleaner(clock=lambda: timezone.now() + timedelta(hours=hours))


def clean(*, hours: float = 25) -> int:
    """A complete pass at the time in `hours`. Returns how many pages it processed."""
    Heartbeat.objects.filter(name=PASS).delete()
    return cleaner_in(hours).run_once(limit=100)


# --- Unneeded files ---


def test_f12_files_that_no_row_needs_are_deleted_after_a_day(completed: Generation) -> None:
    store(completed.pk), store(new_id()), store(new_id(), "not/ours.txt")

    clean()

    assert stored_keys() == keys_of(completed)


def test_f12_a_file_that_is_younger_than_a_day_is_kept(completed: Generation) -> None:
    """Its copy may still be running."""
    young = store(completed.pk)

    clean(hours=23)

    assert young in stored_keys()


def test_f12_a_file_of_a_generation_in_progress_is_kept(completed: Generation, order: PlaceOrder) -> None:
    """The worker died after the copy; the next one finds the file."""
    key = store(order().pk)

    clean()

    assert key in stored_keys()


def test_c32_a_file_that_was_copied_for_a_failed_generation_is_deleted(
    completed: Generation, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.until(generation.outputs.exists)
    key = store(generation.pk, "0.jpg")
    failed(generation, failure(FailureCode.CANCELLED), actor="test")

    clean()

    assert key not in stored_keys()
    assert generation.outputs.get().state == Output.State.LOST


def test_c32_a_copy_that_ends_after_the_generation_is_deleted(
    completed: Generation, fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = order()
    work.until(generation.outputs.exists)
    put = storage.put_proven

    def put_and_fail(*args, **options) -> None:
        put(*args, **options)
        failed(generation, failure(FailureCode.CANCELLED), actor="test")

    monkeypatch.setattr(storage, "put_proven", put_and_fail)
    work.copy()

    output = generation.outputs.get()
    assert (output.state, output.key) == (Output.State.LOST, "")
    clean()
    assert stored_keys() == keys_of(completed)


# --- Missing files ---


def test_f12_a_missing_file_is_reported(completed: Generation, caplog: pytest.LogCaptureFixture) -> None:
    missing = completed.outputs.get(index=1)
    storage.delete(missing.key)

    clean()

    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (record.__dict__["count"], record.__dict__["first"]) == (1, missing.key)
    assert stored_keys() == keys_of(completed) - {missing.key}


def test_f12_all_files_of_an_empty_storage_are_reported(
    completed: Generation, caplog: pytest.LogCaptureFixture
) -> None:
    for key in stored_keys():
        storage.delete(key)

    clean()

    assert [record.__dict__["count"] for record in caplog.records if record.levelname == "ERROR"] == [3]


def test_f12_nothing_is_logged_if_nothing_is_wrong(completed: Generation, caplog: pytest.LogCaptureFixture) -> None:
    clean()

    assert [record for record in caplog.records if "storage_cleaner" in record.name] == []


# --- Files of others ---


def test_nothing_is_deleted_if_most_files_belong_to_no_row(
    completed: Generation, caplog: pytest.LogCaptureFixture
) -> None:
    """The bucket of another installation, or a restored database: these files may be the only copies."""
    unknown = {store(new_id()) for _ in range(4)}

    clean()

    assert unknown < stored_keys()
    assert "belong to no row" in caplog.text


def test_files_outside_of_limns_folders_are_ignored(completed: Generation) -> None:
    storage.put("backups/1.sql", io.BytesIO(b"x"), content_type="text/plain")

    clean()

    assert storage.measure("backups/1.sql").size_bytes == 1


# --- Passes and pages ---


def test_a_pass_processes_one_page_at_a_time(completed: Generation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PAGE_KEYS_MAX", 2)
    store(completed.pk), store(completed.pk, "8.png")
    cleaner = cleaner_in(hours=25)

    pages = [cleaner.run_once(limit=1) for _ in range(4)]

    assert pages == [1, 1, 1, 0]
    assert stored_keys() == set(completed.outputs.values_list("key", flat=True)[:2])


def test_a_missing_file_is_counted_once_however_small_the_pages(
    completed: Generation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storage, "PAGE_KEYS_MAX", 1)
    storage.delete(completed.outputs.get(index=0).key)
    storage.delete(completed.outputs.get(index=2).key)

    clean()

    assert sum(record.__dict__["count"] for record in caplog.records if record.levelname == "ERROR") == 2


def test_a_pass_begins_once_a_day(completed: Generation) -> None:
    assert StorageCleaner().run_once(limit=5) == 1
    assert StorageCleaner().run_once(limit=5) == 0

    Heartbeat.objects.update(seen_at=timezone.now() - timedelta(hours=25))

    assert StorageCleaner().run_once(limit=5) == 1


# --- Buckets ---


def test_c24_an_unfinished_multipart_upload_is_aborted_after_a_day(bucket: Bucket) -> None:
    key = f"generations/{new_id()}/0.mp4"
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    bucket.client.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=bytes(6_000_000))

    clean(hours=23)
    assert len(bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]) == 1

    clean()
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


def test_a_pass_ends_without_an_error_if_the_storage_is_unreachable(
    settings, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    unreachable = Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    settings.STORAGES = {**settings.STORAGES, "default": unreachable.storage}

    assert clean() == 0

    assert "storage could not be listed" in caplog.text
    assert heartbeats.age(PASS) is not None
