"""Each reader of the environment, by itself: what it takes, and what it says to what it does not."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env
from generations.safe_http import addresses

pytestmark = pytest.mark.once

Say = Callable[[str], None]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Sets NAME."""
    return lambda value: monkeypatch.setenv("NAME", value)


def refused(reader: Callable[[], Any]) -> str:
    with pytest.raises(ImproperlyConfigured) as refusal:
        reader()
    return str(refusal.value)


# --- Words, numbers, lists ---


@pytest.mark.parametrize("word, value", [("", "default"), ("  ", "default"), (" fox ", "fox")])
def test_a_text_is_trimmed(say: Say, word: str, value: str) -> None:
    say(word)

    assert env.text("NAME", "default") == value


def test_what_is_not_set_has_its_default() -> None:
    assert (env.text("UNSET", "x"), env.flag("UNSET", default=True), env.words("UNSET", "a,b")) == (
        "x",
        True,
        ["a", "b"],
    )
    assert env.integer("UNSET", 5, minimum=1, maximum=9) == 5


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "1", "yes", "on"])
def test_a_flag_is_on(say: Say, word: str) -> None:
    say(word)

    assert env.flag("NAME", default=False) is True


@pytest.mark.parametrize("word", ["false", "False", "0", "no", "off"])
def test_a_flag_is_off(say: Say, word: str) -> None:
    say(word)

    assert env.flag("NAME", default=True) is False


@pytest.mark.parametrize("word", ["maybe", "2", "tru", "none", "-"])
def test_a_flag_is_nothing_else(say: Say, word: str) -> None:
    say(word)

    assert refused(lambda: env.flag("NAME", default=True)) == (
        f"NAME: “{word}” is neither true nor false. Write true or false."
    )


@pytest.mark.parametrize("word, number", [("1", 1), ("65535", 65535), ("0080", 80)])
def test_a_number_is_whole(say: Say, word: str, number: int) -> None:
    say(word)

    assert env.integer("NAME", 5, minimum=1, maximum=65535) == number


@pytest.mark.parametrize("word", ["0", "65536", "-1", "1.5", "1e3", "٣", "eight", "1_000", "9" * 5000])
def test_a_number_is_within_its_bounds(say: Say, word: str) -> None:
    say(word)

    message = refused(lambda: env.integer("NAME", 5, minimum=1, maximum=65535))
    assert message == f"NAME: “{word}” is not a whole number from 1 to 65535. Correct it."


def test_one_of_a_few_may_be_written_small(say: Say) -> None:
    say("debug")

    assert env.one_of("NAME", "INFO", {"INFO", "DEBUG"}) == "DEBUG"


def test_one_of_a_few_is_nothing_else(say: Say) -> None:
    say("LOUD")

    message = refused(lambda: env.one_of("NAME", "INFO", {"INFO", "DEBUG"}))
    assert message == "NAME: “LOUD” is not known. Choose one of DEBUG, INFO."


@pytest.mark.parametrize("word, value", [("a, b ,,c", ["a", "b", "c"]), (",", []), ("a", ["a"])])
def test_a_list_is_separated_by_commas(say: Say, word: str, value: list[str]) -> None:
    say(word)

    assert env.words("NAME") == value


# --- Secrets ---


@pytest.fixture
def secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAME_FILE", str(tmp_path / "secret"))
    return tmp_path / "secret"


def test_a_secret_is_said_outright(say: Say) -> None:
    say("fox")

    assert env.secret("NAME") == "fox"
    assert env.secret("UNSET") == ""


def test_a_secret_lies_in_a_file(secret_file: Path) -> None:
    secret_file.write_text("fox\n")

    assert env.secret("NAME") == "fox"


def test_a_secret_is_not_said_twice(secret_file: Path, say: Say) -> None:
    say("fox")

    assert refused(lambda: env.secret("NAME")) == "NAME: NAME and NAME_FILE are both set. Keep one of them."


@pytest.mark.parametrize(
    "content, why",
    [(None, "cannot be read (No such file or directory)"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff", "text")],
)
def test_a_file_without_a_secret_is_refused(secret_file: Path, content: bytes | None, why: str) -> None:
    """J8: not as if it had not been set."""
    if content is not None:
        secret_file.write_bytes(content)

    message = refused(lambda: env.secret("NAME"))
    assert message.startswith(f"NAME_FILE: {secret_file} ")
    assert why in message


def test_a_folder_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME_FILE", str(tmp_path))

    assert "Is a directory" in refused(lambda: env.secret("NAME"))


# --- The secret key ---


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "")


def test_a_secret_key_is_made_once_and_for_nobody_else(no_key: None, tmp_path: Path) -> None:
    made = env.secret_key(tmp_path)

    assert env.secret_key(tmp_path) == made
    assert len(made) >= 64
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_another_place_has_another_key(no_key: None, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert env.secret_key(tmp_path / "a") != env.secret_key(tmp_path / "b")


def test_all_who_start_at_once_have_the_same_key(no_key: None, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(env.secret_key, [tmp_path] * 8))

    assert len(set(keys)) == 1
    assert os.listdir(tmp_path) == ["secret_key"]


def test_a_secret_key_that_is_given_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", "x" * 32)

    assert env.secret_key(tmp_path) == "x" * 32
    assert os.listdir(tmp_path) == []


def test_a_short_secret_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", "x" * 31)

    message = refused(lambda: env.secret_key(tmp_path))
    assert message == "SECRET_KEY: it is shorter than 32 characters. Leave it empty to have one created."


@pytest.mark.parametrize("content", ["", "short"])
def test_a_damaged_secret_key_is_refused(no_key: None, tmp_path: Path, content: str) -> None:
    (tmp_path / "secret_key").write_text(content)

    assert "secret_key is damaged. Remove it" in refused(lambda: env.secret_key(tmp_path))


def test_a_secret_key_that_cannot_be_kept_is_not_made(no_key: None, tmp_path: Path) -> None:
    assert "No such file or directory" in refused(lambda: env.secret_key(tmp_path / "nowhere"))


# --- Folders ---


def test_a_folder_is_made(say: Say, tmp_path: Path) -> None:
    say(str(tmp_path / "a" / ".." / "b" / "c"))

    assert env.folder("NAME", Path("/unused")) == tmp_path / "b" / "c"
    assert (tmp_path / "b" / "c").is_dir()


@pytest.mark.parametrize("path", ["/dev/null/x", "/proc/limn", "~nobody-of-this-name/x"])
def test_a_folder_that_cannot_be_made_is_refused(say: Say, path: str) -> None:
    say(path)

    message = refused(lambda: env.folder("NAME", Path("/unused")))
    assert message.startswith(f"NAME: {path} cannot be created (")
    assert message.endswith("Name a writable folder.")


# --- Addresses ---


@pytest.mark.parametrize(
    "word, url",
    [
        ("https://limn.example.com/", "https://limn.example.com"),
        ("https://limn.example.com:8443", "https://limn.example.com:8443"),
        ("https://rest.fal.ai/.well-known/jwks.json", "https://rest.fal.ai/.well-known/jwks.json"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1:8000///", "http://127.0.0.1:8000"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("", "https://default.example"),
    ],
)
def test_an_address_is_https_or_never_leaves_the_machine(say: Say, word: str, url: str) -> None:
    say(word)

    assert env.web_url("NAME", "https://default.example") == url


@pytest.mark.parametrize(
    "word", ["http://limn.example.com", "http://10.0.0.1", "http://0.0.0.0", "http://[::]", "http://localhost.evil.com"]
)
def test_plain_http_stays_at_home(say: Say, word: str) -> None:
    say(word)

    message = refused(lambda: env.web_url("NAME", ""))
    assert f"NAME: “{word}” is plain http" in message
    assert message.endswith("is not a loopback address. Use https.")


@pytest.mark.parametrize(
    "word",
    [
        *("limn.example.com", "ftp://limn.example.com", "https:", "https:///x", "//limn.example.com", "x"),
        *("https://a.example?x=1", "https://a.example#x", "https://[bad", "https://a.example:x", "https://a.example:0"),
        *(
            "https://a.example:65536",
            "https://a b.example",
            "https://a\t.example",
            "https://a.example\\x",
            "https://é.fr",
        ),
    ],
)
def test_what_is_no_address_is_refused(say: Say, word: str) -> None:
    say(word)

    message = refused(lambda: env.web_url("NAME", ""))
    assert message == f"NAME: “{word}” is not a web address. Write it like https://limn.example.com."


@pytest.mark.parametrize("word", ["https://user:hunter2@a.example", "https://hunter2@a.example", "https://@a.example"])
def test_an_address_holds_no_password_and_the_error_does_not_repeat_it(say: Say, word: str) -> None:
    say(word)

    message = refused(lambda: env.web_url("NAME", ""))
    assert message == "NAME: the address holds a user name or password. Remove them."


@pytest.mark.parametrize(
    "word", ["*.fal.media", "fal.media", "127.0.0.1:9000", "localhost:65535", "*.fal.media:443", "X.Y"]
)
def test_a_media_host_is_a_name_or_a_pattern(say: Say, word: str) -> None:
    say(f"{word}, fal.media")

    assert env.media_hosts("NAME", "") == [word, "fal.media"]


@pytest.mark.parametrize(
    "word",
    [
        *(
            "*",
            "*.",
            "*fal.media",
            "fal.*",
            "https://fal.media",
            "fal.media/x",
            "fal.media:",
            "fal.media:x",
            ".fal.media",
        ),
        *(
            "fal.media:0",
            "fal.media:65536",
            "fal.media:99999",
            "[::1]:9000",
            "fal_media",
            "fal media",
            "user@fal.media",
        ),
    ],
)
def test_a_media_host_is_nothing_else(say: Say, word: str) -> None:
    say(f"fal.media,{word}")

    message = refused(lambda: env.media_hosts("NAME", ""))
    assert message == f"NAME: “{word}” is not a host pattern. Write names like *.fal.media or 127.0.0.1:9000."


# --- Services ---


@pytest.mark.parametrize(
    "word, engine, name",
    [
        ("", "sqlite3", "/data/limn.sqlite3"),
        ("sqlite:////srv/limn.sqlite3", "sqlite3", "/srv/limn.sqlite3"),
        ("postgresql://limn:hunter2@db.example:5432/limn", "postgresql", "limn"),
        ("postgres://limn@127.0.0.1/limn", "postgresql", "limn"),
    ],
)
def test_a_database_is_sqlite_or_postgresql(say: Say, word: str, engine: str, name: str) -> None:
    say(word)

    found = env.database("NAME", Path("/data/limn.sqlite3"))
    assert (str(found["ENGINE"]).rpartition(".")[2], found["NAME"]) == (engine, name)


@pytest.mark.parametrize(
    "word",
    [
        *("mysql://limn:hunter2@db/limn", "nonsense://limn:hunter2@db/limn", "hunter2", "/srv/hunter2.sqlite3", "://"),
        *("postgresql://limn:hunter2@db:port/limn", "postgresql://limn:hunter2@db/", "postgresql://limn:hunter2@db"),
        *("sqlite://", "sqlite:///", "sqlite://:memory:", "sqlite:///:memory:"),
    ],
)
def test_what_is_no_database_is_refused_without_its_password(
    say: Say, word: str, recwarn: pytest.WarningsRecorder
) -> None:
    """G4. In memory, each thread would have a database of its own, and none after a restart."""
    say(word)

    message = refused(lambda: env.database("NAME", Path("/unused")))
    assert message.startswith("NAME: the URL ")
    assert "hunter2" not in message + str([str(warning.message) for warning in recwarn])


@pytest.mark.parametrize(
    "word", ["", "redis://127.0.0.1:6379/0", "rediss://:hunter2@redis.example/1", "unix:///run/redis"]
)
def test_a_redis_is_named_by_its_scheme(say: Say, word: str) -> None:
    say(word)

    assert env.redis_url("NAME") == word


@pytest.mark.parametrize("word", ["127.0.0.1:6379", "http://hunter2@redis", "redis"])
def test_what_is_no_redis_is_refused(say: Say, word: str) -> None:
    say(word)

    message = refused(lambda: env.redis_url("NAME"))
    assert message == "NAME: it is not the address of a Redis. Write it like redis://127.0.0.1:6379/0."


def test_mail_goes_where_a_url_says(say: Say) -> None:
    say("smtp+tls://limn:hunter2@mail.example:587")

    found = env.email("NAME", "consolemail://")
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"], found["EMAIL_USE_TLS"]) == ("mail.example", 587, True)


@pytest.mark.parametrize("word", ["nonsense", "pigeon://hunter2", "smtp://limn:hunter2@mail:port", "smtp://[hunter2"])
def test_mail_that_goes_nowhere_is_refused_without_its_password(say: Say, word: str) -> None:
    say(word)

    message = refused(lambda: env.email("NAME", "consolemail://"))
    assert message.startswith("NAME: the URL cannot be read (")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "host, expected",
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("example.com", False), ("", False)],
)
def test_loopback_is_known_by_name_and_number(host: str, expected: bool) -> None:
    assert addresses.is_loopback(host) is expected


# --- Domains and pages ---


@pytest.mark.parametrize("word", ["files.example.com", "files.example.com:8443", ""])
def test_a_domain_is_a_host_name(say: Say, word: str) -> None:
    say(word)

    assert env.domain("NAME") == word


@pytest.mark.parametrize("word", ["https://files.example.com", "*.example.com", "files.example.com/limn", "a b"])
def test_a_domain_is_nothing_else(say: Say, word: str) -> None:
    say(word)

    assert "Write only the name" in refused(lambda: env.domain("NAME"))


def test_pages_may_come_from_anywhere_or_from_named_hosts(say: Say) -> None:
    say("*")
    assert env.page_hosts("NAME", "") == ["*"]

    say("*.example.com,127.0.0.1:9000")
    assert env.page_hosts("NAME", "*") == ["*.example.com", "127.0.0.1:9000"]
