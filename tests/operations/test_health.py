"""`/health/live` and `/health/ready`: whether the process responds, and whether an order can be carried out."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from generations.files import storage_mark
from generations.models import Heartbeat
from tests.services.seaweed import Bucket

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.fixture
def workers(db: None) -> None:
    """Heartbeats of a running worker process."""
    beat("worker", age_seconds=0)
    beat("reconciler", age_seconds=0)


def beat(name: str, *, age_seconds: int) -> None:
    seen_at = timezone.now() - timedelta(seconds=age_seconds)
    Heartbeat.objects.update_or_create(name=name, defaults={"seen_at": seen_at})


def set_storage_option(settings: Settings, **option: str) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], **option}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


def storage_of(client: Client) -> str:
    return str(client.get("/health/ready").json()["parts"]["storage"])


def refuse_connection(*args: object) -> None:
    raise OperationalError("could not connect as limn:secret")


def test_it_is_ready_when_every_part_is(client: Client, workers: None) -> None:
    response = client.get("/health/ready")

    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "parts": {"clock": "ok", "database": "ok", "storage": "ok", "worker": "ok", "reconciler": "ok"},
    }
    assert "no-store" in response["Cache-Control"]


def test_it_is_not_ready_before_a_worker_has_run(client: Client) -> None:
    response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json()["parts"] == {
        "database": "ok",
        "storage": "ok",
        "clock": "ok",
        "worker": "never seen",
        "reconciler": "never seen",
    }


@pytest.mark.parametrize(
    "name, age_seconds, status",
    [("worker", 20, 200), ("worker", 31, 503), ("reconciler", 119, 200), ("reconciler", 121, 503)],
)
def test_it_is_not_ready_when_a_heartbeat_is_too_old(
    client: Client, workers: None, name: str, age_seconds: int, status: int
) -> None:
    beat(name, age_seconds=age_seconds)

    response = client.get("/health/ready")

    assert response.status_code == status
    assert response.json()["parts"][name] == ("ok" if status == 200 else "silent")


def test_an_unavailable_database_is_named(client: Client) -> None:
    with connection.execute_wrapper(refuse_connection):
        response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json()["parts"]["database"] == "away"
    assert response.json()["parts"]["worker"] == "unknown"
    assert b"secret" not in response.content


def test_a_missing_folder_is_named(client: Client, workers: None, settings: Settings, tmp_path: Path) -> None:
    set_storage_option(settings, location=str(tmp_path / "missing"))

    assert storage_of(client) == "not writable"


def test_a_bucket_that_answers_is_ok(client: Client, workers: None, bucket: Bucket) -> None:
    assert storage_of(client) == "ok"


def test_a_bucket_that_rejects_the_key_is_named(
    client: Client, workers: None, bucket: Bucket, settings: Settings
) -> None:
    set_storage_option(settings, secret_key="wrong")

    assert storage_of(client) == "away"


def test_j19_a_storage_that_belongs_to_another_deployment_is_named(
    client: Client, workers: None, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = storage_mark.Guard()
    guard.start()
    monkeypatch.setattr(storage_mark, "guard", guard)
    mark = json.dumps({"deployment": str(uuid4()), "mark": str(uuid4())})
    bucket.client.put_object(Bucket=bucket.name, Key=storage_mark.KEY, Body=mark.encode())

    assert client.get("/health/ready").status_code == 503
    assert storage_of(client) == "belongs to another Limn"


def test_the_state_of_the_storage_is_cached(client: Client, workers: None, settings: Settings, tmp_path: Path) -> None:
    client.get("/health/ready")
    set_storage_option(settings, location=str(tmp_path / "missing"))

    assert storage_of(client) == "ok"


def test_the_process_is_live_without_the_database(client: Client) -> None:
    with connection.execute_wrapper(refuse_connection):
        assert client.get("/health/live").json() == {"status": "ok"}


def test_health_checks_are_read_only(client: Client) -> None:
    assert [client.post(url).status_code for url in ("/health/live", "/health/ready")] == [405, 405]
