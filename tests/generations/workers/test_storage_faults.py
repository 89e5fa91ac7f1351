"""Faults of the storage: unreachable, busy, wrong content, full. Case ids: docs/failure-modes.md, group C."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.config import Config

from generations.files import storage
from generations.models import Generation, Output, Status
from tests.fixtures.storage import OrderAnsweredWith
from tests.generations.files.example_files import box, film
from tests.generations.workers.storage_proxy import Between, between
from tests.helpers.background_work import Work
from tests.helpers.scripted_servers import Connection, Handler, Server, respond, serving
from tests.services.seaweed import Bucket

# About the bucket: the database has no part in it.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

MEGABYTE = 1024**2
FOXES = film() + box(b"free", b"FOX" * 1000)
BIG_BYTES = 300 * MEGABYTE

Serving = Callable[[Handler], Server]


@pytest.fixture
def line(settings, bucket: Bucket) -> Iterator[Between]:
    """Limn reaches its bucket through somebody."""
    with between(bucket) as somebody:
        settings.STORAGES = {**settings.STORAGES, "default": somebody.bucket.storage}
        yield somebody


@pytest.fixture
def films(settings) -> Iterator[Server]:
    """A server of one small film."""
    with serving(respond("200 OK", f"Content-Length: {len(FOXES)}", body=FOXES)) as server:
        settings.FAL_MEDIA_HOSTS = [server.host]
        yield server


def tries(count: int) -> bool:
    return Output.objects.filter(attempts__gte=count, lease=None, state=Output.State.PENDING).exists()


# --- Away, busy ---


def test_c20_a_bucket_that_was_away_gets_the_file_when_it_is_back(
    line: Between, films: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    line.refuses = True
    generation = order_answered_with(f"{films.url}/film")
    work.until(lambda: tries(2))
    line.refuses = False

    assert work.until_done(generation).status == Status.COMPLETED
    assert line.bucket.read(generation.outputs.get().key) == FOXES


def test_c20_a_bucket_that_never_answers_is_not_waited_for(
    settings, line: Between, films: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    default = line.bucket.storage
    impatient = default["OPTIONS"]["client_config"].merge(Config(read_timeout=1, retries={"total_max_attempts": 1}))
    options = {**default["OPTIONS"], "client_config": impatient}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}
    line.is_silent = True
    order_answered_with(f"{films.url}/film")

    work.copy()

    assert tries(1)
    assert "Read timeout" in Output.objects.get().detail


def test_c21_a_bucket_that_is_busy_is_asked_slowly_and_boundedly(
    line: Between, films: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    line.busy_times = 4

    generation = work.until_done(order_answered_with(f"{films.url}/film"))

    assert generation.status == Status.COMPLETED
    assert generation.outputs.get().attempts == 2
    assert line.connections < 12


# --- Other bytes than were sent ---


@pytest.mark.parametrize("way", ["spoils_up", "spoils_down"])
def test_c23_a_file_with_wrong_bytes_is_never_called_stored(
    way: str, line: Between, films: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    setattr(line, way, True)
    generation = order_answered_with(f"{films.url}/film")
    work.until(lambda: tries(3))
    setattr(line, way, False)

    assert Generation.objects.get().status == Status.PROCESSING
    assert work.until_done(generation).status == Status.COMPLETED
    assert line.bucket.read(generation.outputs.get().key) == FOXES


# --- Addresses ---


def test_the_first_thing_a_process_asks_of_its_bucket_may_be_an_address(bucket: Bucket) -> None:
    """Django makes its storage at the first use; before, it looked like no bucket at all."""
    url = storage.signed_url("generations/1/0.png", seconds=60, file_name="fox.png", content_type="image/png")

    assert url is not None
    assert url.startswith(bucket.endpoint_url)


# --- Big ---


def _big_film(connection: Connection) -> None:
    start = film() + (8 + BIG_BYTES).to_bytes(4, "big") + b"free"
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(start) + BIG_BYTES) + start)
    megabyte = os.urandom(MEGABYTE)
    for _ in range(BIG_BYTES // MEGABYTE):
        connection.send(megabyte)


def _peak_memory_bytes() -> int:
    """Since it was last set back."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_a_big_file_takes_no_more_memory_than_a_small_one(
    settings, bucket: Bucket, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    with serving(_big_film) as server:
        settings.FAL_MEDIA_HOSTS = [server.host]
        generation = order_answered_with(f"{server.url}/film")
        Path("/proc/self/clear_refs").write_text("5")
        before = _peak_memory_bytes()

        work.until_done(generation)

    assert generation.outputs.get().size_bytes == BIG_BYTES + len(film()) + 8
    assert _peak_memory_bytes() - before < 64 * MEGABYTE
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


# --- Full ---


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Half a megabyte for temporary files."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], check=False)
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    subprocess.run(["umount", place], check=True)


def test_c29_a_full_disk_for_temporary_files_is_waited_out(
    small_disk: Path, films: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(511 * 1024))
    generation = order_answered_with(f"{films.url}/film")
    work.until(lambda: tries(2))
    assert "No space left" in Output.objects.get().detail
    assert list(small_disk.iterdir()) == [filler]

    filler.unlink()

    assert work.until_done(generation).status == Status.COMPLETED
    assert list(small_disk.iterdir()) == []
