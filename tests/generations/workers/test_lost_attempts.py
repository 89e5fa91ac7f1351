"""Attempts to copy a file that lose: nothing of them stays in storage, whenever their worker wakes up or dies.

Case ids: docs/failure-modes.md, groups C and E.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.models.functions import Now

from database.clock import from_now
from generations import lifecycle
from generations.files import sandbox, storage, write_attempts
from generations.lifecycle import failed, failure
from generations.models import Erasure, FailureCode, Generation, Output, WriteAttempt
from generations.models.write_attempt import CLEANUPS_MAX
from generations.workers import copier, eraser
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.services.seaweed import Bucket
from tests.services.waiting import HANG_SECONDS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("each_storage")]


class Killed(BaseException):
    """Ends a worker as SIGKILL does: it does nothing more, and its rows stay as they are."""


class Sleeper:
    """A worker that is suspended right before it stores its file, until it is woken or killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_asleep, self._wakes = threading.Event(), threading.Event()
        self.dies = False
        self._put = storage.put_proven
        self._thread = threading.Thread(target=self._work)
        monkeypatch.setattr(storage, "put_proven", self._sleep)
        self._thread.start()
        assert self.is_asleep.wait(HANG_SECONDS)
        monkeypatch.setattr(storage, "put_proven", self._put)

    def wake_up(self, *, dies: bool = False) -> None:
        """Stores the file, and does what comes after it, unless the worker `dies`."""
        self.dies = dies
        self._wakes.set()
        self._thread.join(HANG_SECONDS)

    def _sleep(self, *args, **options) -> None:
        self.is_asleep.set()
        self._wakes.wait(HANG_SECONDS)
        self._put(*args, **options)
        if self.dies:
            raise Killed

    def _work(self) -> None:
        try:
            copier.run_once(limit=1)
        except Killed:
            pass
        finally:
            connection.close()


@pytest.fixture
def generation(fal: Simulator, order: PlaceOrder, work: Work) -> Generation:
    """A generation whose file can be copied now."""
    placed = order()
    work.until(placed.outputs.exists)
    Output.objects.update(next_attempt_at=Now())
    return placed


@pytest.fixture
def sleeper(generation: Generation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sleeper]:
    """The worker that has claimed the file, and sleeps."""
    found = Sleeper(monkeypatch)
    yield found
    found.wake_up()


def stored_keys() -> set[str]:
    return {listed.key for listed in storage.list_page()}


def erase(generation: Generation) -> None:
    lifecycle.erase(generation, actor="user:alice")
    eraser.run_once(limit=10)
    assert Erasure.objects.get().done_at is not None


def clean_up() -> int:
    """Run the clean-up as if all pauses were over."""
    WriteAttempt.objects.update(next_cleanup_at=Now())
    return write_attempts.clean_up(limit=100)


# --- The worker wakes up ---


def test_e3_a_worker_that_wakes_up_after_another_has_delivered_deletes_its_own_file(
    generation: Generation, sleeper: Sleeper, work: Work
) -> None:
    output = work.until_done(generation).outputs.get()

    sleeper.wake_up()

    assert stored_keys() == {output.key}
    assert storage.measure(output.key).sha256 == output.sha256


def test_e3_a_worker_that_wakes_up_after_the_erasure_brings_nothing_back(
    generation: Generation, sleeper: Sleeper, work: Work
) -> None:
    work.until_done(generation)
    erase(generation)
    assert stored_keys() == set()

    sleeper.wake_up()

    assert stored_keys() == set()


@pytest.mark.parametrize("is_erased", [False, True])
def test_c32_a_copy_that_ends_after_its_generation_is_deleted(
    generation: Generation, sleeper: Sleeper, is_erased: bool
) -> None:
    generation.refresh_from_db()
    failed(generation, failure(FailureCode.CANCELLED), actor="test")
    if is_erased:
        erase(generation)

    sleeper.wake_up()

    assert stored_keys() == set()


def test_without_the_deletion_by_the_loser_the_erased_file_is_back(
    generation: Generation, sleeper: Sleeper, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    work.until_done(generation)
    erase(generation)
    monkeypatch.setattr(write_attempts, "settle", lambda owner: None)

    sleeper.wake_up()

    assert len(stored_keys()) == 1


def test_a_slow_copy_asks_for_its_lease_and_stores_nothing_without_it(
    generation: Generation, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`LEASE_SECONDS` have passed since it began."""
    puts: list[str] = []
    inspect = sandbox.inspect_output

    def lose_the_lease(content: bytes) -> object:
        Output.objects.update(lease=None, leased_until=None)
        return inspect(content)

    monkeypatch.setattr(sandbox, "inspect_output", lose_the_lease)
    monkeypatch.setattr(copier, "LEASE_SECONDS", -1)
    monkeypatch.setattr(storage, "put_proven", lambda key, spool, **options: puts.append(key))
    copier.run_once(limit=1)

    assert (puts, stored_keys()) == ([], set())
    assert not WriteAttempt.objects.exists()


# --- The worker dies ---


def test_the_place_of_an_attempt_is_on_record_before_its_first_byte(generation: Generation, sleeper: Sleeper) -> None:
    assert stored_keys() == set()
    (attempt,) = WriteAttempt.objects.all()

    sleeper.wake_up()

    assert generation.outputs.get().key.startswith(f"{attempt.place}.")


def test_what_a_killed_worker_has_left_is_deleted_without_a_listing(
    generation: Generation, sleeper: Sleeper, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = work.until_done(generation).outputs.get()
    sleeper.wake_up(dies=True)
    assert len(stored_keys()) == 2

    with monkeypatch.context() as patched:
        patched.setattr(storage, "list_page", None)
        clean_up()

    assert stored_keys() == {output.key}


def test_the_eraser_deletes_what_killed_workers_have_left(generation: Generation, sleeper: Sleeper, work: Work) -> None:
    work.until_done(generation)
    sleeper.wake_up(dies=True)

    erase(generation)

    assert stored_keys() == set()


def test_a_place_is_emptied_again_while_its_worker_may_still_write(
    generation: Generation, sleeper: Sleeper, work: Work
) -> None:
    output = work.until_done(generation).outputs.get()
    for cleanup in range(1, CLEANUPS_MAX):
        clean_up()
        assert set(WriteAttempt.objects.values_list("cleanups", flat=True)) == {cleanup}

    sleeper.wake_up(dies=True)
    clean_up(), clean_up()

    assert stored_keys() == {output.key}
    assert not WriteAttempt.objects.exists()


def test_the_pauses_between_two_cleanups_double(generation: Generation, sleeper: Sleeper, work: Work) -> None:
    work.until_done(generation)
    for minutes in (10, 20, 40, 80):
        clean_up()
        due = WriteAttempt.objects.filter(next_cleanup_at__range=(from_now(minutes * 59), from_now(minutes * 60)))
        assert due.count() == 1


# --- Attempts that are not cleaned up ---


def test_the_file_that_the_row_names_is_kept_and_its_attempt_removed(generation: Generation, work: Work) -> None:
    output = work.until_done(generation).outputs.get()
    assert WriteAttempt.objects.count() == 1

    assert clean_up() == 1

    assert stored_keys() == {output.key}
    assert not WriteAttempt.objects.exists()


def test_a_running_attempt_is_left_alone(generation: Generation, sleeper: Sleeper) -> None:
    """Its lease may have run out: as long as no other worker has claimed the output, it may still win."""
    Output.objects.update(leased_until=from_now(-60))
    (attempt,) = WriteAttempt.objects.all()
    storage.put(f"{attempt.place}.part", io.BytesIO(b"half an image"), content_type="image/png")

    clean_up()

    assert len(stored_keys()) == 1
    assert WriteAttempt.objects.get().cleanups == 0


def test_an_attempt_that_has_sent_nothing_leaves_no_row(generation: Generation, fal: Simulator) -> None:
    Output.objects.update(source_url=f"{fal.url}/files/none")

    copier.run_once(limit=1)

    assert not WriteAttempt.objects.exists()


def test_an_attempt_whose_file_was_not_stored_is_cleaned_up_once(
    generation: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request may arrive later than its time-out."""
    put = storage.put_proven

    def time_out(*args, **options) -> None:
        put(*args, **options)
        raise TimeoutError

    monkeypatch.setattr(storage, "put_proven", time_out)
    copier.run_once(limit=1)
    assert (len(stored_keys()), WriteAttempt.objects.get().is_over) == (1, True)

    clean_up()

    assert (stored_keys(), WriteAttempt.objects.count()) == (set(), 0)


# --- Multipart uploads ---


def test_a_multipart_upload_of_a_killed_worker_is_aborted_and_no_other(
    bucket: Bucket, generation: Generation, work: Work
) -> None:
    (lost,) = copier._claim().claim(limit=1)
    ours, foreign = copier.key_of(lost, "mp4"), f"generations/{generation.pk}/0-foreign.mp4"
    for key in (ours, foreign):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
    work.until_done(generation)

    clean_up()

    assert [upload["Key"] for upload in bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]] == [
        foreign
    ]
