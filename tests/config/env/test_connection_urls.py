"""Readers of the URLs of the database, Redis and the mail server. Their errors never repeat a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import env
from tests.config.env.conftest import Error, Read

pytestmark = pytest.mark.once


def test_a_database_is_sqlite_or_postgresql(read: Read) -> None:
    expected = {
        "": ("sqlite3", "/data/limn.sqlite3"),
        "sqlite:////srv/limn.sqlite3": ("sqlite3", "/srv/limn.sqlite3"),
        "postgresql://limn:hunter2@db.example:5432/limn": ("postgresql", "limn"),
        "postgres://limn@127.0.0.1/limn": ("postgresql", "limn"),
    }

    for url, (engine, name) in expected.items():
        database = read(env.database, url, Path("/data/limn.sqlite3"))
        assert (database["ENGINE"].rpartition(".")[2], database["NAME"]) == (engine, name)


NO_DATABASES = (
    *("mysql://limn:hunter2@db/limn", "nonsense://limn:hunter2@db/limn", "hunter2", "/srv/hunter2.sqlite3", "://"),
    *("postgresql://limn:hunter2@db:port/limn", "postgresql://limn:hunter2@db/", "postgresql://limn:hunter2@db"),
    # In memory, each thread would have a database of its own, and none of them would survive a restart.
    *("sqlite://", "sqlite:///", "sqlite://:memory:", "sqlite:///:memory:"),
)


def test_g4_a_wrong_database_url_is_refused_without_its_password(
    error: Error, recwarn: pytest.WarningsRecorder
) -> None:
    for url in NO_DATABASES:
        message = error(env.database, url, Path("/unused"))

        assert message.startswith("NAME: the URL ")
        assert "hunter2" not in message + str([str(warning.message) for warning in recwarn])


def test_a_redis_url_has_a_scheme_of_redis(read: Read) -> None:
    for url in ("", "redis://127.0.0.1:6379/0", "rediss://:hunter2@redis.example/1", "unix:///run/redis"):
        assert read(env.redis_url, url) == url


def test_g4_a_wrong_redis_url_is_refused_without_its_password(error: Error) -> None:
    for url in ("127.0.0.1:6379", "http://hunter2@redis", "redis"):
        message = error(env.redis_url, url)
        assert message == "NAME: it is not the address of a Redis. Write it like redis://127.0.0.1:6379/0."


def test_a_mail_url_becomes_the_mail_settings_of_django(read: Read) -> None:
    settings = read(env.email, "smtp+tls://limn:hunter2@mail.example:587", "consolemail://")

    assert settings["EMAIL_HOST"] == "mail.example"
    assert settings["EMAIL_PORT"] == 587
    assert settings["EMAIL_USE_TLS"] is True


def test_g4_a_wrong_mail_url_is_refused_without_its_password(error: Error) -> None:
    for url in ("nonsense", "pigeon://hunter2", "smtp://limn:hunter2@mail:port", "smtp://[hunter2"):
        message = error(env.email, url, "consolemail://")

        assert message.startswith("NAME: the URL cannot be read (")
        assert "hunter2" not in message


def test_a_sender_is_an_address_with_or_without_a_name(read: Read) -> None:
    for sender in ("limn@example.com", "Limn <limn@example.com>"):
        assert read(env.mail_address, sender, "") == sender


def test_other_text_than_a_sender_is_refused(error: Error) -> None:
    for value in ("limn", "Limn <limn>", "limn@example.com, ann@example.com <a>b"):
        assert "is not an e-mail address" in error(env.mail_address, value, "")
