"""The storage cleaner: files that a row names as unneeded are deleted; unknown and missing ones are reported.

Case ids: docs/failure-modes.md, groups C, F and J.
"""

from __future__ import annotations

import io
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from database.ids import new_id
from generations.files import storage
from generations.models import Generation, Heartbeat, Output, StorageReport, WriteAttempt
from generations.workers import heartbeats
from generations.workers.storage_cleaner import PASS, StorageCleaner
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.clocks import just_passed
from tests.helpers.images import insert_upload
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
    return {listed.key for folder in (storage.OUTPUTS, storage.UPLOADS) for listed in storage.list_page(folder)}


def keys_of(generation: Generation) -> set[str]:
    return set(generation.outputs.values_list("key", flat=True))


def clean() -> StorageReport:
    """A complete pass. Returns its report."""
    Heartbeat.objects.filter(name=PASS).delete()
    StorageCleaner().run_once(limit=100)
    return StorageReport.objects.get()


# --- Files that no row names ---


def test_f12_unknown_files_are_counted_and_not_deleted(completed: Generation, caplog: pytest.LogCaptureFixture) -> None:
    """Also a single one, and one beside the files of a generation that has ended."""
    unknown = {store(completed.pk), store(new_id(), "not/ours.txt")}
    storage.put("uploads/stray.png", io.BytesIO(b"an image"), content_type="image/png")

    report = clean()

    assert (report.unknown_files, report.unknown_bytes) == (3, 24)
    assert report.first_unknown in unknown
    assert "these are not deleted" in caplog.text
    assert stored_keys() == keys_of(completed) | unknown | {"uploads/stray.png"}


def test_every_file_of_this_database_is_known(completed: Generation, order: PlaceOrder, work: Work) -> None:
    insert_upload(completed.account.user)
    running = order()
    work.until(running.outputs.exists)
    lease = new_id()
    WriteAttempt.objects.create(output=running.outputs.get(), lease=lease, next_cleanup_at=just_passed())
    store(running.pk, f"0-{lease}.png")

    report = clean()

    assert (report.unknown_files, report.missing_files) == (0, 0)


def test_j19_the_files_of_a_second_limn_in_the_same_storage_are_kept(
    completed: Generation, order: PlaceOrder, work: Work
) -> None:
    """It has rows of its own, in another database: here they are removed after its files are stored."""
    other = work.until_done(order(prompt="dogs", num_images=3))
    keys = keys_of(other)
    forget(other)

    report = clean()

    assert report.unknown_files == 3
    assert keys < stored_keys()


def test_j9_the_files_of_a_newer_state_of_the_database_are_kept(completed: Generation, work: Work) -> None:
    """The database is restored from a dump of the time when the files of a generation were not stored yet."""
    keys = keys_of(completed)
    Output.objects.filter(generation=completed).update(
        state=Output.State.PENDING, key="", lease=None, next_attempt_at=timezone.now()
    )
    WriteAttempt.objects.all().delete()

    report = clean()

    assert report.unknown_files == 3
    assert keys <= stored_keys()


def forget(generation: Generation) -> None:
    """Removes the output rows of a generation."""
    WriteAttempt.objects.filter(output__generation=generation).delete()
    Output.objects.filter(generation=generation).delete()


def test_unknown_files_are_deleted_by_a_command_that_is_told_their_number(
    completed: Generation, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = {store(new_id()), store(completed.pk)}
    clean()

    call_command("unknown_files")
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    with pytest.raises(CommandError, match="Nothing is deleted: there are 2 unknown files, not 3"):
        call_command("unknown_files", "--delete", "3")
    assert listed == unknown < stored_keys()

    call_command("unknown_files", "--delete", "2")

    assert stored_keys() == keys_of(completed)
    assert StorageReport.objects.get().unknown_files == 0


# --- Missing files ---


def make_old(generation: Generation) -> None:
    """A pass looks for files that were stored a day ago or earlier."""
    generation.outputs.update(stored_at=timezone.now() - timedelta(days=2))


def test_f12_a_missing_file_is_reported(completed: Generation, caplog: pytest.LogCaptureFixture) -> None:
    make_old(completed)
    missing = completed.outputs.get(index=1)
    storage.delete(missing.key)

    clean()

    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (record.__dict__["count"], record.__dict__["first"]) == (1, missing.key)
    assert stored_keys() == keys_of(completed) - {missing.key}


def test_f12_all_files_of_an_empty_storage_are_reported(
    completed: Generation, caplog: pytest.LogCaptureFixture
) -> None:
    make_old(completed)
    for key in stored_keys():
        storage.delete(key)

    clean()

    assert [record.__dict__["count"] for record in caplog.records if record.levelname == "ERROR"] == [3]


def test_f12_nothing_is_logged_if_nothing_is_wrong(completed: Generation, caplog: pytest.LogCaptureFixture) -> None:
    clean()

    assert [record for record in caplog.records if "storage_cleaner" in record.name] == []


def test_files_outside_of_limns_folders_are_ignored(completed: Generation) -> None:
    storage.put("backups/1.sql", io.BytesIO(b"x"), content_type="text/plain")

    clean()

    assert storage.measure("backups/1.sql").size_bytes == 1


# --- Passes and pages ---


def test_a_pass_processes_one_page_at_a_time(completed: Generation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PAGE_KEYS_MAX", 2)
    store(completed.pk), store(completed.pk, "8.png")
    cleaner = StorageCleaner()

    # Three pages of outputs, and one of uploads.
    pages = [cleaner.run_once(limit=1) for _ in range(5)]

    assert pages == [1, 1, 1, 1, 0]
    assert StorageReport.objects.get().unknown_files == 2


def test_a_missing_file_is_counted_once_however_small_the_pages(
    completed: Generation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storage, "PAGE_KEYS_MAX", 1)
    make_old(completed)
    storage.delete(completed.outputs.get(index=0).key)
    storage.delete(completed.outputs.get(index=2).key)

    clean()

    assert sum(record.__dict__["count"] for record in caplog.records if record.levelname == "ERROR") == 2


def test_a_pass_begins_once_a_day(completed: Generation) -> None:
    assert StorageCleaner().run_once(limit=5) == 2
    assert StorageCleaner().run_once(limit=5) == 0

    Heartbeat.objects.update(seen_at=timezone.now() - timedelta(hours=25))

    assert StorageCleaner().run_once(limit=5) == 2


# --- Buckets ---


def test_c24_a_multipart_upload_of_others_is_not_aborted(bucket: Bucket) -> None:
    key = f"generations/{new_id()}/0.mp4"
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    bucket.client.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=bytes(6_000_000))

    clean()

    assert len(bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]) == 1


def test_c24_a_server_that_ignores_prefixes_makes_limn_touch_nothing_of_others(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, other = f"generations/{new_id()}/0-a", f"generations/{new_id()}/0-b.mp4"
    for key in (f"{place}.mp4", other):
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"film")
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
    client = storage._bucket().meta.client  # type: ignore[union-attr]
    for name in ("list_multipart_uploads", "list_objects_v2"):
        real = getattr(client, name)
        monkeypatch.setattr(client, name, lambda real=real, **where: real(**{**where, "Prefix": ""}))

    storage.empty_place(place)

    assert bucket.keys() == [other]
    (upload,) = bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
    assert upload["Key"] == other
    assert storage.list_page(storage.UPLOADS) == []


def test_what_a_probe_of_the_server_has_left_is_deleted(bucket: Bucket) -> None:
    """Its process was killed."""
    bucket.client.create_multipart_upload(Bucket=bucket.name, Key=f"{storage.PROBE}.bin")
    bucket.client.put_object(Bucket=bucket.name, Key=f"{storage.PROBE}.bin", Body=b"probe")

    clean()

    assert bucket.keys() == []
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


def test_a_pass_ends_without_an_error_if_the_storage_is_unreachable(
    settings, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    unreachable = Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    settings.STORAGES = {**settings.STORAGES, "default": unreachable.storage}

    assert StorageCleaner().run_once(limit=100) == 0

    assert "storage could not be listed" in caplog.text
    assert heartbeats.age(PASS) is not None
