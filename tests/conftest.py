"""Fixtures of all tests: the test database, the simulator of fal, running Limn, an S3 bucket and Redis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_django
from django.conf import settings as django_settings
from django.db import connection
from huey.contrib.djhuey import HUEY
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from database import clock
from generations.workers import callback_inbox
from simulator import Simulator
from tests import plugin
from tests.services import database_flush, processes, redis, seaweed

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings
    from pytest_django.live_server_helper import LiveServer


# On a loaded machine, examples take long to generate and to run. Only a hang is a failure.
hypothesis_settings.register_profile("limn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("limn")


# --- The database ---


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Use a file, as in production. SQLite in memory shares one connection among threads and hides every race."""
    if connection.vendor == "sqlite":
        database = django_settings.DATABASES["default"]
        database["TEST"] = {**database.get("TEST", {}), "NAME": str(Path(django_settings.DATA_DIR) / "test.sqlite3")}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> None:
    database_flush.install(connection)
    with django_db_blocker.unblock():
        # For tests that make rows without a database. Measured once, because tests count statements.
        clock.now()
        clock.MEASURED_EVERY_SECONDS = math.inf
    if connection.vendor == "postgresql":
        # The queue lies in the database that DATABASE_URL names, which is not migrated.
        with suppress(psycopg.errors.UniqueViolation):  # Another worker of pytest-xdist creates the tables just now.
            HUEY.storage.initialize_schema()


@pytest.fixture(autouse=True)
def no_callback_is_set_aside() -> Iterator[None]:
    """The callbacks of the next test have the same ids."""
    yield
    callback_inbox.set_aside.clear()


# --- fal ---


@pytest.fixture
def fal(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """The simulator of fal in this process: its queue, CDN and keys. It is reset for each test."""
    simulator = request.config.stash[plugin.simulator]
    simulator.reset()
    yield simulator
    # Reset at the end as well, because a callback that is still under way would reach the database of the next test.
    simulator.reset()


@pytest.fixture(autouse=True)
def forget_slowness() -> None:
    """The submitter remembers slow answers of fal in its process, which would change the next test."""
    from generations.workers.submitter import slowness  # noqa: PLC0415  (Django has not loaded the models yet)

    slowness.forget()


@pytest.fixture(autouse=True)
def close_connections() -> Iterator[None]:
    """Closes the connections to fal and to media hosts that the process keeps.

    An unclosed socket fails the test that runs when Python collects it.
    """
    from generations.provider import clients  # noqa: PLC0415  (Django has not loaded the models yet)
    from generations.safe_http import connections  # noqa: PLC0415

    yield
    clients.close()
    connections.close_kept()


# --- Limn ---


@pytest.fixture
def live_limn(live_server: LiveServer, settings: Settings) -> LiveServer:
    """A web server with Limn in this process. Callbacks of fal are sent to it."""
    settings.SITE_URL = live_server.url
    return live_server


@pytest.fixture
def limn(transactional_db: None, fal: Simulator, tmp_path: Path) -> Iterator[processes.Processes]:
    """`limn("work")` starts `manage.py work` in a separate process, on the database of this test."""
    with processes.processes(tmp_path, {"DATABASE_URL": url_of_the_test_database()}) as started:
        yield started


def url_of_the_test_database() -> str:
    """The DATABASE_URL with which a separate process uses the database of this test."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    login = f"{database['USER']}:{database['PASSWORD']}@" if database["PASSWORD"] else f"{database['USER']}@"
    return f"postgresql://{login}{database['HOST']}:{database['PORT']}/{database['NAME']}"


# --- Services, started when the first test uses them ---


@pytest.fixture(scope="session")
def seaweed_server() -> Iterator[seaweed.Seaweed]:
    with seaweed.seaweed() as server:
        yield server


@pytest.fixture
def s3(seaweed_server: seaweed.Seaweed) -> seaweed.Bucket:
    """A new bucket on a real S3 server."""
    return seaweed_server.bucket()


@pytest.fixture
def bucket(s3: seaweed.Bucket, settings: Settings) -> seaweed.Bucket:
    """A new bucket, in which Limn stores its files."""
    settings.AWS_STORAGE_BUCKET_NAME = s3.name
    settings.AWS_S3_ENDPOINT_URL = s3.endpoint_url
    settings.STORAGES = {**settings.STORAGES, "default": s3.storage}
    return s3


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with redis.redis_server() as url:
        yield url
