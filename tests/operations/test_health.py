"""/health/: green when an order could be made, red with the part that is away."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from generations.models import Heartbeat
from tests.services.seaweed import Bucket

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    cache.clear()


@pytest.fixture
def alive(db: None) -> None:
    beat("worker", age_seconds=0)
    beat("reconciler", age_seconds=0)


def beat(name: str, *, age_seconds: int) -> None:
    seen_at = timezone.now() - timedelta(seconds=age_seconds)
    Heartbeat.objects.update_or_create(name=name, defaults={"seen_at": seen_at})


def test_with_everything_there_it_is_ready(client: Client, alive: None) -> None:
    response = client.get("/health/ready")

    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "parts": {"database": "ok", "storage": "ok", "worker": "ok", "reconciler": "ok"},
    }
    assert "no-store" in response["Cache-Control"]


def test_without_any_worker_it_is_not(client: Client) -> None:
    response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json()["parts"] | {"storage": "ok", "database": "ok"} == {
        "database": "ok",
        "storage": "ok",
        "worker": "never seen",
        "reconciler": "never seen",
    }


@pytest.mark.parametrize(
    "name, age_seconds, status",
    [("worker", 20, 200), ("worker", 31, 503), ("reconciler", 119, 200), ("reconciler", 121, 503)],
)
def test_who_is_silent_for_too_long_is_red(
    client: Client, alive: None, name: str, age_seconds: int, status: int
) -> None:
    beat(name, age_seconds=age_seconds)

    response = client.get("/health/ready")

    assert response.status_code == status
    assert response.json()["parts"][name] == ("ok" if status == 200 else "silent")


def test_a_database_that_is_away_is_named(client: Client) -> None:
    def away(*args: object) -> None:
        raise OperationalError("could not connect as limn:secret")

    with connection.execute_wrapper(away):
        response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json()["parts"]["database"] == "away"
    assert response.json()["parts"]["worker"] == "unknown"
    assert b"secret" not in response.content


def test_a_folder_that_is_gone_is_named(client: Client, alive: None, settings: Settings, tmp_path) -> None:
    options = {**settings.STORAGES["default"]["OPTIONS"], "location": str(tmp_path / "gone")}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}

    assert client.get("/health/ready").json()["parts"]["storage"] == "not writable"


def test_a_bucket_is_asked_for(client: Client, alive: None, bucket: Bucket) -> None:
    assert client.get("/health/ready").json()["parts"]["storage"] == "ok"


def test_a_bucket_that_is_away_is_named(client: Client, alive: None, bucket: Bucket, settings: Settings) -> None:
    options = {**settings.STORAGES["default"]["OPTIONS"], "secret_key": "wrong"}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}

    assert client.get("/health/ready").json()["parts"]["storage"] == "away"


def test_storage_is_asked_once_in_a_while_however_many_ask_us(client: Client, alive: None, settings, tmp_path) -> None:
    client.get("/health/ready")
    options = {**settings.STORAGES["default"]["OPTIONS"], "location": str(tmp_path / "gone")}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}

    assert client.get("/health/ready").json()["parts"]["storage"] == "ok"


def test_the_process_is_alive_whatever_else_is_not(client: Client) -> None:
    def away(*args: object) -> None:
        raise OperationalError("away")

    with connection.execute_wrapper(away):
        assert client.get("/health/live").json() == {"status": "ok"}


@pytest.mark.parametrize("address", ["/health/live", "/health/ready"])
def test_health_is_read_only(client: Client, address: str) -> None:
    assert client.post(address).status_code == 405
