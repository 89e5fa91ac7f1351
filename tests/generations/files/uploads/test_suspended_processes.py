"""A process that is suspended while it stores an upload: nothing that it writes later stays. Case E3."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models.functions import Now

from credits.models import Account
from generations.files import sandbox, storage, uploads, write_attempts
from generations.files.media_types import NotMedia
from generations.models import Upload, WriteAttempt
from tests.helpers.images import picture, stored_bytes
from tests.services.waiting import HANG_SECONDS

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


# --- Two processes that work on the bytes of one upload ---


def complete(upload: Upload) -> str:
    """Returns the state of the completed upload, or the error."""
    try:
        return uploads.complete(Upload.objects.get(pk=upload.pk)).state
    except uploads.UploadError as error:
        return type(error).__name__


class TakeOver:
    """A second process takes the upload over while the first one stores its result.

    It reads the uploaded bytes only when the first one has ended.
    """

    def __init__(self, upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
        self.upload, self.patch = upload, monkeypatch
        self.has_claimed, self.may_read = threading.Event(), threading.Event()
        self.download = storage.download

    def run(self, suspend: Suspend) -> list[str]:
        """Complete the upload in both. Returns what becomes of it in the first and in the second."""
        with ThreadPoolExecutor(1) as second:
            others: list[Any] = []
            suspend(lambda: others.append(self._start(second)))
            first = complete(self.upload)
            self.may_read.set()
            return [first, others[0].result(HANG_SECONDS)]

    def _start(self, second: ThreadPoolExecutor) -> Any:
        lose_the_lease(self.upload)
        self.patch.setattr(storage, "download", self._download_late)
        future = second.submit(self._complete)
        assert self.has_claimed.wait(HANG_SECONDS)
        return future

    def _complete(self) -> str:
        try:
            return complete(self.upload)
        finally:
            connections.close_all()

    def _download_late(self, key: str, sink: IO[bytes], *, bytes_max: int) -> object:
        self.has_claimed.set()
        assert self.may_read.wait(HANG_SECONDS)
        return self.download(key, sink, bytes_max=bytes_max)


def test_e3_a_process_that_has_lost_its_lease_leaves_the_uploaded_bytes_to_the_other(
    upload: Upload, suspend: Suspend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TakeOver(upload, monkeypatch).run(suspend) == ["InProgress", "ready"]

    upload.refresh_from_db()
    assert stored_keys() == {upload.key, upload.thumbnail_key}


def test_if_the_loser_deletes_the_uploaded_bytes_the_other_process_finds_none(
    upload: Upload, suspend: Suspend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    process = uploads._process
    monkeypatch.setattr(uploads, "_process", lambda *args: process(*args) or True)

    assert TakeOver(upload, monkeypatch).run(suspend) == ["InProgress", "NotUploaded"]


def test_e3_a_refusal_without_the_lease_is_not_the_last_word(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*files: object) -> None:
        lose_the_lease(upload)
        raise NotMedia("no image")

    with monkeypatch.context() as broken:
        broken.setattr(sandbox, "sanitize", refuse)
        assert complete(upload) == "InProgress"

    assert complete(upload) == "ready"
