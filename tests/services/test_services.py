"""Tests of the test environment: the services are real and refuse what a real one refuses."""

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


def test_the_default_storage_writes_to_the_bucket(bucket: Bucket) -> None:
    default_storage.save("pictures/cat.png", ContentFile(b"meow"))

    assert bucket.keys() == ["pictures/cat.png"]
    assert bucket.read("pictures/cat.png") == b"meow"


def test_the_s3_server_rejects_a_wrong_secret_key(s3: Bucket) -> None:
    stranger = dataclasses.replace(s3, secret_key="guessed")

    with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
        stranger.client.list_objects_v2(Bucket=s3.name)


def test_each_test_has_a_new_bucket(s3: Bucket) -> None:
    assert s3.keys() == []


def test_redis_stores_a_value(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("cat", "meow")

        assert client.get("cat") == b"meow"


def test_tests_cannot_connect_to_other_machines() -> None:
    with pytest.raises(SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
