"""The harness itself: services are real, and say no where the real one would."""

from __future__ import annotations

import dataclasses
import socket

import botocore.exceptions
import pytest
import redis
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from pytest_socket import SocketConnectBlockedError

from tests.services.seaweed import Bucket

pytestmark = pytest.mark.once


def test_files_go_to_the_bucket(bucket: Bucket) -> None:
    default_storage.save("pictures/cat.png", ContentFile(b"meow"))

    assert bucket.keys() == ["pictures/cat.png"]
    assert bucket.read("pictures/cat.png") == b"meow"


def test_a_wrong_secret_opens_no_bucket(s3: Bucket) -> None:
    thief = dataclasses.replace(s3, secret_key="guessed")

    with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
        thief.client.list_objects_v2(Bucket=s3.name)


def test_each_test_has_a_bucket_of_its_own(s3: Bucket) -> None:
    assert s3.keys() == []


def test_redis_keeps_what_it_is_told(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("cat", "meow")

        assert client.get("cat") == b"meow"


def test_the_world_is_closed() -> None:
    with pytest.raises(SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
