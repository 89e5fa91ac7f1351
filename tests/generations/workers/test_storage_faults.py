"""Faults of the storage: unreachable, busy, corrupting, full. Case ids: docs/failure-modes.md, group C."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.config import Config

from generations.files import checksum_support, proven_writes, spool, storage
from generations.models import Generation, Output, Status
from tests.fixtures.storage import OrderAnsweredWith
from tests.generations.files.example_files import box, film
from tests.generations.workers.storage_proxy import StorageProxy, storage_proxy
from tests.helpers.background_work import Work
from tests.helpers.scripted_servers import Connection, Server, respond, serving
from tests.services.seaweed import Bucket

# The database makes no difference to these tests.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

MEGABYTE = 1024**2
# A small film that contains the bytes which the proxy can corrupt.
FILM = film() + box(b"free", b"FOX" * 1000)
LARGE_BYTES = 300 * MEGABYTE


@pytest.fixture
def proxy(settings, bucket: Bucket) -> Iterator[StorageProxy]:
    """Limn reaches its bucket through this proxy."""
    with storage_proxy(bucket) as proxy:
        settings.STORAGES = {**settings.STORAGES, "default": proxy.bucket.storage}
        yield proxy


@pytest.fixture
def film_server(settings) -> Iterator[Server]:
    """Serves FILM at every path."""
    with serving(respond("200 OK", f"Content-Length: {len(FILM)}", body=FILM)) as server:
        settings.FAL_MEDIA_HOSTS = [server.host]
        yield server


def has_failed(times: int) -> bool:
    """Whether this many attempts to copy the output have ended without success."""
    return Output.objects.filter(attempts__gte=times, lease=None, state=Output.State.PENDING).exists()


# --- Unreachable and busy ---


def test_c20_a_file_is_stored_when_an_unreachable_bucket_is_back(
    proxy: StorageProxy, film_server: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    proxy.refuses = True
    generation = order_answered_with(f"{film_server.url}/film")
    work.until(lambda: has_failed(times=2))
    proxy.refuses = False

    assert work.until_done(generation).status == Status.COMPLETED
    assert proxy.bucket.read(generation.outputs.get().key) == FILM


def test_c20_a_bucket_that_does_not_answer_ends_the_attempt(
    settings, proxy: StorageProxy, film_server: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    default = proxy.bucket.storage
    config = default["OPTIONS"]["client_config"].merge(Config(read_timeout=1, retries={"total_max_attempts": 1}))
    options = {**default["OPTIONS"], "client_config": config}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}
    proxy.is_silent = True
    order_answered_with(f"{film_server.url}/film")

    work.copy()

    assert has_failed(times=1)
    assert "Read timeout" in Output.objects.get().detail


def test_c21_a_busy_bucket_is_retried_a_bounded_number_of_times(
    proxy: StorageProxy, film_server: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    proxy.busy_times = 4

    generation = work.until_done(order_answered_with(f"{film_server.url}/film"))

    assert generation.status == Status.COMPLETED
    assert generation.outputs.get().attempts == 2
    assert proxy.connections < 12


# --- Corrupted on the way ---


@pytest.mark.parametrize(
    "direction, server_verifies",
    [("corrupts_uploads", True), ("corrupts_uploads", False), ("corrupts_downloads", False)],
)
def test_c23_a_generation_is_not_completed_while_its_file_is_stored_wrong(
    direction: str,
    server_verifies: bool,
    proxy: StorageProxy,
    film_server: Server,
    order_answered_with: OrderAnsweredWith,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that compares checksums refuses the file. From any other it is read back."""
    monkeypatch.setitem(checksum_support._verdicts, (proxy.bucket.endpoint_url, proxy.bucket.name), server_verifies)
    setattr(proxy, direction, True)
    generation = order_answered_with(f"{film_server.url}/film")
    work.until(lambda: has_failed(times=3))
    setattr(proxy, direction, False)

    assert Generation.objects.get().status == Status.PROCESSING
    assert work.until_done(generation).status == Status.COMPLETED
    assert proxy.bucket.read(generation.outputs.get().key) == FILM


# --- URLs ---


def test_a_url_can_be_signed_before_the_storage_is_used_otherwise(bucket: Bucket) -> None:
    """Django creates the storage object at its first use."""
    url = storage.signed_url("generations/1/0.png", seconds=60, file_name="fox.png", content_type="image/png")

    assert url is not None
    assert url.startswith(bucket.endpoint_url)


# --- Large files ---


def send_large_film(connection: Connection) -> None:
    start = film() + (8 + LARGE_BYTES).to_bytes(4, "big") + b"free"
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(start) + LARGE_BYTES) + start)
    megabyte = os.urandom(MEGABYTE)
    for _ in range(LARGE_BYTES // MEGABYTE):
        connection.send(megabyte)


def send_cut_film(connection: Connection) -> None:
    """Sends a film whose last box is said to be longer than the file."""
    start = film() + LARGE_BYTES.to_bytes(4, "big") + b"free"
    content = start + bytes(proven_writes.PART_BYTES)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)


def peak_memory_bytes() -> int:
    """The most memory that this process has used since `/proc/self/clear_refs` was written."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_a_large_file_is_copied_in_constant_memory(
    settings, bucket: Bucket, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    with serving(send_large_film) as server:
        settings.FAL_MEDIA_HOSTS = [server.host]
        generation = order_answered_with(f"{server.url}/film")
        Path("/proc/self/clear_refs").write_text("5")
        before = peak_memory_bytes()

        work.until_done(generation)

    assert generation.outputs.get().size_bytes == LARGE_BYTES + len(film()) + 8
    assert peak_memory_bytes() - before < 64 * MEGABYTE
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


def test_a_large_file_that_is_refused_leaves_nothing_in_the_bucket(
    settings, bucket: Bucket, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    with serving(send_cut_film) as server:
        settings.FAL_MEDIA_HOSTS = [server.host]
        order_answered_with(f"{server.url}/film")

        work.copy()

    assert has_failed(times=1)
    assert "incomplete MP4" in Output.objects.get().detail
    assert bucket.keys() == []
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


# --- Full disk ---


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Temporary files are written to a disk of 512 kB."""
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=False)
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_c29_a_file_is_copied_when_a_full_disk_has_space_again(
    small_disk: Path,
    film_server: Server,
    order_answered_with: OrderAnsweredWith,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "FILE_BYTES_MAX", 0)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(511 * 1024))
    generation = order_answered_with(f"{film_server.url}/film")
    work.until(lambda: has_failed(times=2))
    assert "No space left" in Output.objects.get().detail
    assert list(small_disk.iterdir()) == [filler]

    filler.unlink()

    assert work.until_done(generation).status == Status.COMPLETED
    assert list(small_disk.iterdir()) == []
