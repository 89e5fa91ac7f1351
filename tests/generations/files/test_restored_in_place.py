"""An older dump is restored while workers run: each reads the mark again before it deletes a file. Case J9."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from database.ids import new_id
from generations import lifecycle
from generations.files import storage, storage_mark, uploads, write_attempts
from generations.files.storage_mark import Guard
from generations.models import Erasure, Generation, Upload, WriteAttempt
from generations.workers import eraser, heartbeats, storage_cleaner
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.clocks import just_passed
from tests.helpers.images import age_uploads, insert_upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("each_storage")]


def put_unknown_mark() -> None:
    """What the newer state of the database has written, seen from the older dump."""
    content = json.dumps({"deployment": str(uuid4()), "mark": str(uuid4())}).encode()
    storage.put(storage_mark.KEY, io.BytesIO(content), content_type="application/json")


def keys() -> set[str]:
    return {listed.key for folder in (storage.OUTPUTS, storage.UPLOADS) for listed in storage.list_page(folder)}


@pytest.fixture
def restored(order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch) -> Generation:
    """Every kind of row that names files as unneeded is due, and this worker has just found the storage its own."""
    generation = work.until_done(order())
    attempt = WriteAttempt.objects.create(
        output=generation.outputs.get(), lease=new_id(), next_cleanup_at=just_passed()
    )
    storage.put(f"{attempt.place}.png", io.BytesIO(b"delivered"), content_type="image/png")
    lifecycle.erase(generation, actor="user:alice")
    Erasure.objects.update(next_attempt_at=just_passed())
    upload = insert_upload(generation.account.user)
    storage.put(upload.incoming_key, io.BytesIO(b"image"), content_type="image/png")
    age_uploads(61)
    # Another worker has the turn to write the next mark.
    heartbeats.take_turn(storage_cleaner.MARK, every=timedelta(hours=1))
    guard = Guard()
    guard.start()
    monkeypatch.setattr(storage_mark, "guard", guard)
    assert guard.refusal() == ""
    put_unknown_mark()
    return generation


def delete_all() -> None:
    storage_cleaner.run_once(limit=8)
    eraser.run_once(limit=8)


def test_j9_a_worker_that_has_just_verified_the_storage_reads_the_mark_before_it_deletes(restored: Generation) -> None:
    before = keys()

    delete_all()

    assert keys() == before
    assert storage_mark.guard.refusal() != ""


def test_j9_each_kind_of_deletion_reads_the_mark(restored: Generation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alone, because the first that reads the mark stops the others."""
    before = keys()
    monkeypatch.setattr(Guard, "refusal", lambda self: "")

    eraser.run_once(limit=8)
    with pytest.raises(storage_mark.ForeignStorage):
        uploads.clean_up(limit=8)
    with pytest.raises(storage_mark.ForeignStorage):
        write_attempts.clean_up(limit=8)
    with pytest.raises(uploads.StorageUnavailable):
        uploads.erase(Upload.objects.get())

    assert keys() == before
    assert "storage belongs to another" in Erasure.objects.get().detail


def test_without_another_look_at_the_mark_the_files_are_deleted(
    restored: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(Guard, "verify_now", lambda self: None)

    delete_all()

    image = Upload.objects.get()
    assert keys() == {image.key, image.thumbnail_key}


def test_the_mark_is_not_read_if_there_is_nothing_to_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(Guard, "verify_now", lambda self: looks.append(1))
    heartbeats.take_turn(storage_cleaner.MARK, every=timedelta(hours=1))

    delete_all()

    assert looks == []


# --- The command that deletes unknown files ---


@pytest.fixture
def unknown() -> str:
    storage_mark.verify()
    key = f"generations/{new_id()}/0.png"
    storage.put(key, io.BytesIO(b"an image"), content_type="image/png")
    return key


def test_unknown_files_are_not_listed_if_the_mark_cannot_be_read(
    unknown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(key: str, *, bytes_max: int) -> None:
        raise OSError("no answer")

    monkeypatch.setattr(storage, "read", fail)

    with pytest.raises(CommandError, match="The storage is not available: no answer"):
        call_command("unknown_files", "--delete", "1")

    assert (capsys.readouterr().out, keys()) == ("", {unknown})


def test_unknown_files_are_not_deleted_if_the_mark_has_changed_since_they_were_listed(
    unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(storage_cleaner.all_unknown_files())

    def list_before_the_restore() -> list[storage.StoredObject]:
        put_unknown_mark()
        return found

    monkeypatch.setattr(storage_cleaner, "all_unknown_files", list_before_the_restore)

    with pytest.raises(CommandError, match="belongs to another Limn"):
        call_command("unknown_files", "--delete", "1")

    assert keys() == {unknown}
