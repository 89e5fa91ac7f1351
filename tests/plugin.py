"""Prepares the environment before Django reads its settings: database, folders, and a fal of our own.

Loaded by `-p tests.plugin`. `TEST_DATABASE` chooses the database: sqlite (as is) or postgresql.
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
from tests.services import coverage_report, scratch
from tests.services.postgres import postgresql

# Pictures that take seconds at fal are ready in milliseconds; what fal repeats after minutes, after a second.
SPEED = 100

DATABASE = os.environ.get("TEST_DATABASE", "sqlite")

# What a developer's shell or .env says is no business of the tests. An empty value wins over .env.
_UNSET = (
    *("DEBUG", "ALLOWED_HOSTS", "SITE_URL", "PORT", "LOG_LEVEL", "EMAIL_URL", "EMAIL_URL_FILE", "REDIS_URL"),
    *("REDIS_URL_FILE", "DATABASE_URL_FILE", "SECRET_KEY_FILE", "FAL_KEY_FILE", "AWS_STORAGE_BUCKET_NAME"),
    *(
        "AWS_S3_ENDPOINT_URL",
        "AWS_S3_REGION_NAME",
        "AWS_S3_CUSTOM_DOMAIN",
        "AWS_ACCESS_KEY_ID",
        "AWS_ACCESS_KEY_ID_FILE",
    ),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY_FILE", "MEDIA_ROOT", "FAL_ADMIN_KEY_FILE"),
    "EMAIL_FROM",
)
_running = ExitStack()
simulator: pytest.StashKey[Simulator] = pytest.StashKey()
_kind: pytest.StashKey[str] = pytest.StashKey()


# A wrapper, because pytest-django reads the settings inside this very hook.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    scratch.clear_away_the_dead()
    folder = _running.enter_context(scratch.folder("data"))
    os.environ |= dict.fromkeys(_UNSET, "")
    os.environ |= {"DATA_DIR": str(folder), "SECRET_KEY": "only-for-tests-" * 3, "DATABASE_URL": _database_url()}
    os.environ |= {"DJANGO_LIVE_TEST_SERVER_ADDRESS": "127.0.0.1"} | _start_simulator(early_config)
    (folder / "static").mkdir()  # Nothing is collected there; whitenoise would warn.
    return (yield)


def pytest_unconfigure() -> None:
    _running.close()


def _database_url() -> str:
    """A server that DATABASE_URL names wins; so the workers of xdist share the one their controller started."""
    if DATABASE == "sqlite":
        return ""
    if DATABASE != "postgresql":
        raise pytest.UsageError(f"TEST_DATABASE is “{DATABASE}”. Write sqlite or postgresql.")
    given = os.environ.get("DATABASE_URL", "")
    return given if given.startswith("postgres") else _running.enter_context(postgresql())


def _start_simulator(config: pytest.Config) -> dict[str, str]:
    config.stash[simulator] = _running.enter_context(Simulator(speed=SPEED))
    return config.stash[simulator].environment()


# --- Which tests run on which database ---


def pytest_configure(config: pytest.Config) -> None:
    # A password that is meant to be slow to guess is slow to set, and nobody guesses these.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Static files are looked up when they are asked for. Each test's client would list them all, in 50 ms.
    settings.WHITENOISE_AUTOREFRESH = True


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.option.markexpr == "unit" and kinds.has_no_unit_test(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        kind = item.stash[_kind] = kinds.kind_of(item)
        if not item.get_closest_marker(kind):
            item.add_marker(kind)
    unwanted = "once" if DATABASE == "postgresql" else "only_postgresql"
    deselected = [item for item in items if item.get_closest_marker(unwanted)]
    items[:] = [item for item in items if item not in set(deselected)]
    config.hook.pytest_deselected(items=deselected)


# --- Coverage, as the pass on SQLite has measured it, above the closing line of the last pass ---


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with coverage_report.paused(unless=_is_first_of_its_kind(item)), kinds.held_to(item.stash[_kind]):
        return (yield)


def _is_first_of_its_kind(item: pytest.Item) -> bool:
    """Whether this is a test's first set of parameters. The others change values, hardly ever lines; and measuring
    takes as long as testing."""
    parameters = getattr(item, "callspec", None)
    return parameters is None or not any(parameters.indices.values())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--coverage-report", action="store_true", help="combine and judge what was measured")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("coverage_report") and not hasattr(session.config, "workerinput"):
        session.config.stash[coverage_report.KEY] = report = coverage_report.combine()
        if session.exitstatus == pytest.ExitCode.OK and not report.is_enough:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if report := config.stash.get(coverage_report.KEY, None):
        terminalreporter.section("coverage")
        terminalreporter.write(report.text)
