"""Writes that the storage proves: by S3's checksums where the server compares them, else by reading back."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from generations.files import checksum_support, proven_writes, spool, storage
from generations.files.spool import Spool
from generations.files.storage import StoredOtherwise
from tests.generations.workers.storage_proxy import storage_proxy
from tests.helpers.careless_bucket import CarelessServer, careless_server
from tests.services.seaweed import Bucket
from tests.services.waiting import until

pytestmark = [pytest.mark.once, pytest.mark.slow]

KEY = "generations/1/0.png"
# Random bytes do not tell their type, so a large file is sent when it is complete.
LARGE = os.urandom(proven_writes.PART_BYTES + 1)
SMALL, MEDIUM = LARGE[:1000], LARGE[: spool.FILE_BYTES_MAX + 1]
LARGE_PNG = b"\x89PNG\r\n\x1a\n" + LARGE
# It begins like an MP4 file.
LARGE_DECEIVER = bytes(4) + b"ftyp" + LARGE


@pytest.fixture
def careless(settings) -> Iterator[CarelessServer]:
    """Limn stores its files on this server."""
    with careless_server() as server:
        settings.STORAGES = {**settings.STORAGES, "default": server.bucket.storage}
        yield server


def new_spool(expected_bytes: int | None = None) -> Spool:
    return storage.new_spool(lambda extension: f"generations/1/0.{extension}", expected_bytes=expected_bytes)


def put(content: bytes) -> None:
    with new_spool(expected_bytes=len(content)) as spool:
        spool.write(content)
        storage.put_proven(KEY, spool, content_type="image/png")


def uploads(bucket: Bucket) -> list[str]:
    """The keys of the multipart uploads that are neither completed nor aborted."""
    listed = bucket.client.list_multipart_uploads(Bucket=bucket.name)
    return [upload["Key"] for upload in listed.get("Uploads", [])]


def parts_of_upload(bucket: Bucket) -> list[int]:
    """The numbers of the parts that have arrived for the only multipart upload."""
    (upload,) = bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
    listed = bucket.client.list_parts(Bucket=bucket.name, Key=upload["Key"], UploadId=upload["UploadId"])
    return [part["PartNumber"] for part in listed.get("Parts", [])]


def refuse_to_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(key: str) -> None:
        raise AssertionError("it was read back")

    monkeypatch.setattr(storage, "measure", measure)


@pytest.mark.parametrize(
    "content",
    [SMALL, MEDIUM, LARGE, LARGE_PNG, LARGE_DECEIVER],
    ids=["in memory", "on disk", "in parts", "in parts at once", "in parts at once as something else"],
)
def test_a_file_that_the_server_proves_is_not_read_back(
    bucket: Bucket, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_read_back(monkeypatch)

    put(content)

    assert bucket.read(KEY) == content
    assert bucket.client.head_object(Bucket=bucket.name, Key=KEY)["ContentType"] == "image/png"
    assert (bucket.keys(), uploads(bucket)) == ([KEY], [])


def test_the_probe_leaves_nothing_in_the_bucket(bucket: Bucket) -> None:
    new_spool()

    assert checksum_support._verdicts[bucket.endpoint_url, bucket.name] is True
    assert bucket.keys() == []
    assert uploads(bucket) == []


def test_a_server_that_ignores_checksums_is_found_out_once(careless: CarelessServer) -> None:
    put(SMALL)
    put(MEDIUM)

    assert checksum_support._verdicts[careless.bucket.endpoint_url, careless.bucket.name] is False
    assert list(careless.objects) == [f"/careless/{KEY}"]
    assert careless.puts == 3


def test_what_a_server_that_ignores_checksums_has_stored_is_read_back(careless: CarelessServer) -> None:
    careless.corrupts = True

    with pytest.raises(StoredOtherwise):
        put(SMALL)


@pytest.mark.parametrize("content", [MEDIUM, LARGE], ids=["one", "in parts"])
def test_what_the_disk_has_changed_is_refused_and_an_upload_aborted(bucket: Bucket, content: bytes) -> None:
    with new_spool(len(content)) as spool:
        spool.write(content)
        spool.file.flush()
        os.pwrite(spool.file.fileno(), b"other bytes", 7_000_000)

        with pytest.raises(ClientError, match="BadDigest"):
            storage.put_proven(KEY, spool, content_type="image/png")

    assert bucket.keys() == []
    assert uploads(bucket) == []


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_parts_of_a_large_file_are_sent_while_it_arrives(
    bucket: Bucket, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proven_writes, "PART_BYTES", 10_000_000)
    content = LARGE_PNG[: 10_000_000 * parts]
    with new_spool() as spool:
        for start in range(0, len(content), 3_000_000):
            spool.write(content[start : start + 3_000_000])
        until(lambda: len(parts_of_upload(bucket)) == parts)
        assert bucket.keys() == []

        storage.put_proven(KEY, spool, content_type="image/png")

    assert (bucket.read(KEY) == content, uploads(bucket)) == (True, [])


def test_a_file_that_is_refused_when_it_is_complete_leaves_nothing_in_the_bucket(bucket: Bucket) -> None:
    with new_spool() as spool:
        spool.write(LARGE_PNG)
        assert uploads(bucket) == [KEY]

    assert (bucket.keys(), uploads(bucket)) == ([], [])


def is_refused(spool: Spool, chunk: bytes) -> bool:
    """Write a chunk, and return whether that raised because an earlier part did not arrive as it was."""
    try:
        spool.write(chunk)
    except ClientError as error:
        return "BadDigest" in str(error)
    return False


def test_a_file_ends_when_one_of_its_parts_is_refused(
    settings, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proven_writes, "PART_BYTES", 3000)
    with storage_proxy(bucket) as proxy:
        settings.STORAGES = {**settings.STORAGES, "default": proxy.bucket.storage}
        proxy.corrupts_uploads = True

        with new_spool(expected_bytes=10**9) as spool:
            spool.write(LARGE_PNG[:3000])
            until(lambda: is_refused(spool, b"FOX" * 1000))

        assert uploads(bucket) == []


def test_an_object_whose_checksum_the_server_does_not_confirm_is_read_back(
    careless: CarelessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(checksum_support._verdicts, (careless.bucket.endpoint_url, careless.bucket.name), True)
    put(SMALL)
    careless.corrupts = True

    with pytest.raises(StoredOtherwise):
        put(SMALL)


def test_a_busy_server_is_asked_again_at_once(settings, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with storage_proxy(bucket) as proxy:
        settings.STORAGES = {**settings.STORAGES, "default": proxy.bucket.storage}
        monkeypatch.setitem(checksum_support._verdicts, (proxy.bucket.endpoint_url, bucket.name), True)
        proxy.busy_times = 1

        put(SMALL)

        assert (proxy.busy_times, bucket.read(KEY)) == (0, SMALL)


def test_an_unavailable_server_is_asked_again(settings) -> None:
    with careless_server() as server:
        gone = server.bucket
    settings.STORAGES = {**settings.STORAGES, "default": gone.storage}

    with pytest.raises(Exception, match="connect"):
        new_spool()

    assert (gone.endpoint_url, gone.name) not in checksum_support._verdicts
