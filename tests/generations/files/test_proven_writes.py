"""Writes that the storage proves: by S3's checksums where the server compares them, else by reading back."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from generations.files import proven_writes, spool, storage
from generations.files.storage import StoredOtherwise
from tests.generations.workers.storage_proxy import storage_proxy
from tests.helpers.careless_bucket import CarelessServer, careless_server
from tests.services.seaweed import Bucket

pytestmark = [pytest.mark.once, pytest.mark.slow]

KEY = "generations/1/0.png"
LARGE = os.urandom(spool.PART_BYTES + 1)
SMALL, MEDIUM = LARGE[:1000], LARGE[: spool.FILE_BYTES_MAX + 1]


@pytest.fixture
def careless(settings) -> Iterator[CarelessServer]:
    """Limn stores its files on this server."""
    with careless_server() as server:
        settings.STORAGES = {**settings.STORAGES, "default": server.bucket.storage}
        yield server


def put(content: bytes) -> None:
    with storage.new_spool(expected_bytes=len(content)) as spool:
        spool.write(content)
        storage.put_proven(KEY, spool, content_type="image/png")


def refuse_to_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(key: str) -> None:
        raise AssertionError("it was read back")

    monkeypatch.setattr(storage, "measure", measure)


@pytest.mark.parametrize("content", [SMALL, MEDIUM, LARGE], ids=["in memory", "on disk", "in parts"])
def test_a_file_that_the_server_proves_is_not_read_back(
    bucket: Bucket, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_read_back(monkeypatch)

    put(content)

    assert bucket.read(KEY) == content
    assert bucket.client.head_object(Bucket=bucket.name, Key=KEY)["ContentType"] == "image/png"


def test_the_probe_leaves_nothing_in_the_bucket(bucket: Bucket) -> None:
    storage.new_spool(expected_bytes=None)

    assert proven_writes._verdicts[bucket.endpoint_url, bucket.name] is True
    assert bucket.keys() == []
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


def test_a_server_that_ignores_checksums_is_found_out_once(careless: CarelessServer) -> None:
    put(SMALL)
    put(MEDIUM)

    assert proven_writes._verdicts[careless.bucket.endpoint_url, careless.bucket.name] is False
    assert list(careless.objects) == [f"/careless/{KEY}"]
    assert careless.puts == 3


def test_what_a_server_that_ignores_checksums_has_stored_is_read_back(careless: CarelessServer) -> None:
    careless.corrupts = True

    with pytest.raises(StoredOtherwise):
        put(SMALL)


@pytest.mark.parametrize("content", [MEDIUM, LARGE], ids=["one", "in parts"])
def test_what_the_disk_has_changed_is_refused_and_an_upload_aborted(bucket: Bucket, content: bytes) -> None:
    with storage.new_spool(expected_bytes=len(content)) as spool:
        spool.write(content)
        spool.file.flush()
        os.pwrite(spool.file.fileno(), b"other bytes", 7_000_000)

        with pytest.raises(ClientError, match="BadDigest"):
            storage.put_proven(KEY, spool, content_type="image/png")

    assert bucket.keys() == []
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)


def test_an_object_whose_checksum_the_server_does_not_confirm_is_read_back(
    careless: CarelessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(proven_writes._verdicts, (careless.bucket.endpoint_url, careless.bucket.name), True)
    put(SMALL)
    careless.corrupts = True

    with pytest.raises(StoredOtherwise):
        put(SMALL)


def test_a_busy_server_is_asked_again_at_once(settings, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with storage_proxy(bucket) as proxy:
        settings.STORAGES = {**settings.STORAGES, "default": proxy.bucket.storage}
        monkeypatch.setitem(proven_writes._verdicts, (proxy.bucket.endpoint_url, bucket.name), True)
        proxy.busy_times = 1

        put(SMALL)

        assert (proxy.busy_times, bucket.read(KEY)) == (0, SMALL)


def test_an_unavailable_server_is_asked_again(settings) -> None:
    with careless_server() as server:
        gone = server.bucket
    settings.STORAGES = {**settings.STORAGES, "default": gone.storage}

    with pytest.raises(Exception, match="connect"):
        storage.new_spool(expected_bytes=None)

    assert (gone.endpoint_url, gone.name) not in proven_writes._verdicts
