"""The mark in the storage: another deployment and another copy of the database are noticed, and nothing is written.

Case ids: docs/failure-modes.md, group J.
"""

from __future__ import annotations

import io
import json
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone

from database.ids import new_id
from generations.files import storage, storage_mark, uploads
from generations.files.storage_mark import ForeignStorage, Guard
from generations.models import Erasure, Generation, Heartbeat, Output, StorageMark, Upload, WriteAttempt
from generations.workers import copier, eraser, storage_cleaner
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.careless_bucket import careless_server
from tests.helpers.clocks import just_passed
from tests.helpers.images import insert_upload
from tests.helpers.threads import at_once
from tests.services.seaweed import Bucket
from tests.services.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("each_storage")]


def put_mark(deployment: object, latest: object) -> None:
    content = json.dumps({"deployment": str(deployment), "mark": str(latest)}).encode()
    storage.put(storage_mark.KEY, io.BytesIO(content), content_type="application/json")


def mark() -> dict[str, str]:
    content = storage.read(storage_mark.KEY, bytes_max=1000)
    return json.loads(content) if content else {}


# --- Whose storage it is ---


def test_a_storage_without_a_mark_becomes_that_of_the_first_deployment() -> None:
    storage_mark.verify()

    assert StorageMark.objects.filter(pk=mark()["deployment"]).exists()
    storage_mark.verify()


def test_the_storage_of_another_deployment_is_refused() -> None:
    put_mark(uuid4(), uuid4())
    before = mark()

    with pytest.raises(ForeignStorage, match=r"belongs to another Limn\. Set STORAGE_PREFIX"):
        storage_mark.verify()
    with pytest.raises(ForeignStorage):
        storage_mark.renew()

    assert mark() == before


def test_j9_an_older_dump_of_the_database_is_noticed() -> None:
    storage_mark.verify()
    storage_mark.renew()
    # As after a restore of a dump from the time before the last mark.
    StorageMark.objects.filter(pk=mark()["mark"]).delete()

    with pytest.raises(ForeignStorage, match="restored from an older dump"):
        storage_mark.verify()


def test_two_copies_of_one_database_notice_each_other() -> None:
    storage_mark.verify()
    storage_mark.renew()
    put_mark(mark()["deployment"], new_id())

    with pytest.raises(ForeignStorage, match="two copies are running"):
        storage_mark.renew()


def test_a_mark_that_a_suspended_process_of_this_database_writes_late_is_known() -> None:
    storage_mark.verify()
    storage_mark.renew()
    late = mark()
    storage_mark.renew()
    put_mark(late["deployment"], late["mark"])

    storage_mark.verify()

    assert mark() == late


def test_marks_are_forgotten_after_a_month_but_for_the_first() -> None:
    storage_mark.verify()
    storage_mark.renew()
    old = mark()
    StorageMark.objects.filter(pk__in=old.values()).update(created_at=timezone.now() - timedelta(days=31))

    storage_mark.renew()

    (kept,) = StorageMark.objects.filter(pk__in=old.values())
    assert str(kept.pk) == old["deployment"] == mark()["deployment"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"deployment": "a", "mark": "b"}', bytes(2000)])
def test_another_file_in_the_place_of_the_mark_is_refused(content: bytes) -> None:
    storage.put(storage_mark.KEY, io.BytesIO(content), content_type="text/plain")

    with pytest.raises((ForeignStorage, OSError)):
        storage_mark.verify()


# --- Two first starts ---


def test_of_two_first_starts_one_gets_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other deployment puts its mark after this one has found none."""
    put = storage.put_if_absent

    def put_second(key: str, content: bytes) -> bool:
        put_mark(uuid4(), uuid4())
        return put(key, content)

    monkeypatch.setattr(storage, "put_if_absent", put_second)

    with pytest.raises(ForeignStorage):
        storage_mark.verify()


def test_a_conditional_write_succeeds_once() -> None:
    stored = at_once(6, lambda number: storage.put_if_absent("limn-test", f"{number}".encode()))

    assert stored.count(True) == 1
    assert storage.read("limn-test", bytes_max=9) == f"{stored.index(True)}".encode()


@pytest.mark.once
@pytest.mark.parametrize("refuses_conditions", [False, True])
def test_without_conditional_writes_the_last_of_two_first_starts_gets_the_storage(
    settings, refuses_conditions: bool
) -> None:
    with careless_server() as server:
        server.refuses_conditions = refuses_conditions
        settings.STORAGES = {**settings.STORAGES, "default": server.bucket.storage}
        put = json.dumps({"deployment": str(uuid4()), "mark": str(uuid4())}).encode()
        storage_mark.verify()

        assert storage.put_if_absent(storage_mark.KEY, put)
        with pytest.raises(ForeignStorage):
            storage_mark.verify()


# --- What a process does not do then ---


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch, fal: Simulator, order: PlaceOrder, work: Work) -> Generation:
    """The storage belongs to another deployment. The file of this generation is due, and an erasure and an upload."""
    erased, copied = work.until_done(order()), order()
    work.until(copied.outputs.exists)
    Output.objects.filter(generation=copied).update(next_attempt_at=just_passed())
    Erasure.objects.create(generation=erased, asked_by="user:alice", next_attempt_at=just_passed())
    insert_upload(copied.account.user)
    WriteAttempt.objects.update(next_cleanup_at=just_passed())
    put_mark(uuid4(), uuid4())
    guard = Guard()
    guard.start()
    monkeypatch.setattr(storage_mark, "guard", guard)
    return copied


def keys() -> set[str]:
    return {listed.key for folder in (storage.OUTPUTS, storage.UPLOADS) for listed in storage.list_page(folder)}


def work_once() -> list[int]:
    Heartbeat.objects.filter(name__in=(storage_cleaner.PASS, storage_cleaner.MARK)).delete()
    return [copier.start_due(limit=8), eraser.run_once(limit=8), storage_cleaner.run_once(limit=8)]


def test_nothing_is_written_or_deleted_in_the_storage_of_another(
    foreign: Generation, caplog: pytest.LogCaptureFixture
) -> None:
    before, put = keys(), mark()

    assert work_once() == [0, 0, 0]
    with pytest.raises(uploads.StorageUnavailable):
        uploads.erase(Upload.objects.get())
    with pytest.raises(uploads.StorageUnavailable):
        uploads.create_from_form(foreign.account, io.BytesIO(b"image"), file_name="a.png", size_bytes=5)

    assert (keys(), mark()) == (before, put)
    assert "the storage is not used" in caplog.text


def test_after_the_storage_is_claimed_the_work_goes_on(foreign: Generation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert work_once() == [0, 0, 0]

    call_command("claim_storage")
    guard = Guard()
    guard.start()
    monkeypatch.setattr(storage_mark, "guard", guard)

    assert not WriteAttempt.objects.exists()
    copied, erased, cleaned = work_once()
    assert (copied, erased, cleaned > 0) == (1, 1, True)
    until(lambda: Output.objects.get(generation=foreign).state == Output.State.STORED)


# --- How long a process relies on it ---


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def guard(clock: list[float]) -> Guard:
    started = Guard(clock=lambda: clock[0])
    started.start()
    return started


def test_a_process_reads_the_mark_again_every_half_minute(guard: Guard, clock: list[float]) -> None:
    assert guard.refusal() == ""
    put_mark(uuid4(), uuid4())
    assert guard.refusal() == ""

    clock[0] += storage_mark.VALID_SECONDS + 1

    assert "another Limn" in guard.refusal()
    storage_mark.claim()
    clock[0] += storage_mark.VALID_SECONDS + 1
    assert guard.refusal() == ""


def test_a_process_that_has_never_verified_the_storage_waits_for_it(settings, guard: Guard, clock: list[float]) -> None:
    available = settings.STORAGES
    unreachable = Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    settings.STORAGES = {**available, "default": unreachable.storage}
    assert "not available" in guard.refusal()

    settings.STORAGES = available
    clock[0] += storage_mark.RETRY_SECONDS
    assert guard.refusal() == ""

    # An outage afterwards is left to those who use the storage.
    settings.STORAGES = {**available, "default": unreachable.storage}
    clock[0] += storage_mark.VALID_SECONDS + 1
    assert guard.refusal() == ""


def test_threads_verify_it_once(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[int] = []
    monkeypatch.setattr(storage_mark, "verify", lambda: verified.append(threading.get_ident()))

    at_once(4, lambda number: guard.refusal())

    assert len(verified) == 1
