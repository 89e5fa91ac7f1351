"""A process that is suspended while it stores an upload: nothing that it writes later stays. Case E3."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from credits.models import Account
from generations.files import sandbox, storage, uploads, write_attempts
from generations.models import Upload, WriteAttempt
from tests.helpers.images import picture, stored_bytes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("each_storage")]

PICTURE = picture()


class Killed(BaseException):
    """Ends a process as SIGKILL does."""


Suspend = Callable[..., None]


@pytest.fixture
def suspend(monkeypatch: pytest.MonkeyPatch) -> Suspend:
    """`suspend(meanwhile, dies=False)`: a process is suspended before its next write to the storage ends.

    `meanwhile` happens before the write, and the process is killed right after it if it `dies`.
    """
    put = storage.put

    def arrange(meanwhile: Callable[[], object], *, dies: bool = False) -> None:
        def put_later(key: str, file: io.BytesIO, *, content_type: str) -> None:
            monkeypatch.setattr(storage, "put", put)
            meanwhile()
            put(key, file, content_type=content_type)
            if dies:
                raise Killed

        monkeypatch.setattr(storage, "put", put_later)

    return arrange


@pytest.fixture
def upload(alice: User) -> Upload:
    """An upload whose bytes were PUT."""
    account = Account.objects.for_user(alice)
    declared = uploads.create(account, file_name="fox.png", content_type="image/png", size_bytes=len(PICTURE))
    storage.put(declared.incoming_key, io.BytesIO(PICTURE), content_type="image/png")
    return declared


def erase(upload: Upload) -> None:
    assert uploads.erase(Upload.objects.get(pk=upload.pk))


def lose_the_lease(upload: Upload) -> None:
    Upload.objects.filter(pk=upload.pk).update(lease=None, leased_until=None)


def complete_elsewhere(upload: Upload) -> None:
    """Another process completes it, after the lease of the first one has run out."""
    lose_the_lease(upload)
    uploads.complete(Upload.objects.get(pk=upload.pk))


def stored_keys() -> set[str]:
    return {listed.key for listed in storage.list_page(storage.UPLOADS)}


def clean_up() -> None:
    WriteAttempt.objects.update(next_cleanup_at=Now())
    write_attempts.clean_up(limit=100)


def test_an_upload_that_is_erased_while_it_is_processed_leaves_nothing(upload: Upload, suspend: Suspend) -> None:
    suspend(lambda: erase(upload))

    assert uploads.complete(upload).state == Upload.State.ERASED

    assert stored_keys() == set()


def test_without_the_deletion_at_the_end_the_erased_image_is_back(
    upload: Upload, suspend: Suspend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(write_attempts, "settle", lambda owner: None)
    suspend(lambda: erase(upload))

    uploads.complete(upload)

    assert len(stored_keys()) == 2


def test_an_upload_that_another_process_completes_keeps_the_files_of_that_process(
    upload: Upload, suspend: Suspend
) -> None:
    suspend(lambda: complete_elsewhere(upload))

    uploads.complete(upload)

    upload.refresh_from_db()
    assert upload.state == Upload.State.READY
    assert stored_keys() == {upload.key, upload.thumbnail_key}
    assert len(stored_bytes(upload.key)) == upload.size_bytes


def test_what_a_killed_process_has_stored_is_deleted(upload: Upload, suspend: Suspend) -> None:
    suspend(lambda: erase(upload), dies=True)
    # A process that is killed reports nothing.
    with suppress(Killed):
        uploads.complete(upload)
    WriteAttempt.objects.update(is_over=False)
    assert len(stored_keys()) == 1

    clean_up()

    assert stored_keys() == set()


def test_bytes_that_arrive_after_the_erasure_do_not_stay(alice: User, suspend: Suspend) -> None:
    account = Account.objects.for_user(alice)
    upload = uploads.create(account, file_name="fox.png", content_type="image/png", size_bytes=len(PICTURE))
    suspend(lambda: erase(upload))

    uploads.receive(upload, io.BytesIO(PICTURE))

    assert stored_keys() == set()


def test_an_attempt_that_was_completed_leaves_no_row(upload: Upload) -> None:
    uploads.complete(upload)

    assert not WriteAttempt.objects.exists()


def test_a_process_that_has_lost_its_lease_stores_nothing(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    sanitize = sandbox.sanitize

    def sanitize_slowly(*files: io.BytesIO) -> object:
        lose_the_lease(upload)
        return sanitize(*files)

    monkeypatch.setattr(sandbox, "sanitize", sanitize_slowly)

    with pytest.raises(uploads.InProgress):
        uploads.complete(upload)

    assert stored_keys() == {upload.incoming_key}
