"""A pytest plugin that prepares the environment before Django reads its settings: database, folders and simulator.

`addopts` in pyproject.toml loads it. `TEST_DATABASE` chooses the database: `sqlite` (the default) or `postgresql`. The
plugin also sorts the tests by database and by kind (`tests/kinds.py`), and reports the coverage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import settings

from simulator import Simulator
from tests import kinds
from tests.services import coverage_report, scratch, traced_threads
from tests.services.postgres import postgresql

# Images that take seconds at fal are ready in milliseconds, and fal repeats a callback after a second, not minutes.
SPEED = 100

DATABASE = os.environ.get("TEST_DATABASE", "sqlite")

# Settings of the developer's shell or .env file must not change the tests. An empty value overrides the .env file.
_UNSET = (
    *(
        "DEBUG",
        "ALLOWED_HOSTS",
        "SITE_URL",
        "PORT",
        "LOG_LEVEL",
        "MEDIA_ROOT",
        "STORAGE_PREFIX",
        "EMAIL_URL",
        "EMAIL_FROM",
    ),
    *("DATABASE_URL_FILE", "SECRET_KEY_FILE", "FAL_KEY_FILE", "FAL_ADMIN_KEY_FILE", "EMAIL_URL_FILE"),
    *("REDIS_URL", "REDIS_URL_FILE", "AWS_STORAGE_BUCKET_NAME", "AWS_S3_ENDPOINT_URL", "AWS_S3_REGION_NAME"),
    *("AWS_S3_CUSTOM_DOMAIN", "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID_FILE"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY_FILE"),
)
_services = ExitStack()
simulator: pytest.StashKey[Simulator] = pytest.StashKey()
_kind: pytest.StashKey[str] = pytest.StashKey()


# A wrapper, because pytest-django reads the settings in its own implementation of this hook.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    traced_threads.start_one_after_another()
    scratch.remove_folders_of_ended_processes()
    folder = _services.enter_context(scratch.folder("data"))
    os.environ |= dict.fromkeys(_UNSET, "")
    os.environ |= {"DATA_DIR": str(folder), "SECRET_KEY": "only-for-tests-" * 3, "DATABASE_URL": _database_url()}
    early_config.stash[simulator] = _services.enter_context(Simulator(speed=SPEED))
    os.environ |= {"DJANGO_LIVE_TEST_SERVER_ADDRESS": "127.0.0.1"} | early_config.stash[simulator].environment()
    (folder / "static").mkdir()  # whitenoise would warn about a missing folder.
    return (yield)


def pytest_unconfigure() -> None:
    _services.close()


def _database_url() -> str:
    """Use the server that DATABASE_URL names, so that workers of pytest-xdist share the one of their controller."""
    if DATABASE == "sqlite":
        return ""
    if DATABASE != "postgresql":
        raise pytest.UsageError(f"TEST_DATABASE is “{DATABASE}”. Write sqlite or postgresql.")
    given = os.environ.get("DATABASE_URL", "")
    return given if given.startswith("postgres") else _services.enter_context(postgresql())


# --- Which tests run on which database ---


def pytest_configure(config: pytest.Config) -> None:
    # The default hasher is slow on purpose, so that passwords are slow to guess. These need no protection.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Look static files up when they are requested. Otherwise each test client lists all of them, which takes 50 ms.
    settings.WHITENOISE_AUTOREFRESH = True
    config.pluginmanager.register(_LongTestsFirst())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.option.markexpr == "unit" and kinds.has_no_unit_test(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        kind = item.stash[_kind] = kinds.kind_of(item)
        if not item.get_closest_marker(kind):
            item.add_marker(kind)
    excluded = "once" if DATABASE == "postgresql" else "only_postgresql"
    deselected = [item for item in items if item.get_closest_marker(excluded)]
    items[:] = [item for item in items if item not in set(deselected)]
    config.hook.pytest_deselected(items=deselected)


class _LongTestsFirst:
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Move long tests to the beginning, after pytest-randomly has shuffled them."""
        items.sort(key=lambda item: item.get_closest_marker("long") is None)


# --- Coverage of the pass on SQLite, reported by the last pass ---


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with coverage_report.paused(unless=_is_first_of_its_kind(item)), kinds.held_to(item.stash[_kind]):
        return (yield)


def _is_first_of_its_kind(item: pytest.Item) -> bool:
    """Whether this is the first case of a parametrized test. The other cases hardly ever run other lines, and measuring
    takes as long as testing."""
    parameters = getattr(item, "callspec", None)
    return parameters is None or not any(parameters.indices.values())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--coverage-report", action="store_true", help="report the coverage, and fail if it is too low")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    coverage_report.save()
    if session.config.getoption("coverage_report") and not hasattr(session.config, "workerinput"):
        session.config.stash[coverage_report.KEY] = report = coverage_report.combine()
        if session.exitstatus == pytest.ExitCode.OK and not report.is_enough:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if report := config.stash.get(coverage_report.KEY, None):
        terminalreporter.section("coverage")
        terminalreporter.write(report.text)
