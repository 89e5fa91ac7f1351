"""Secrets come from a variable or from a file, never from both. SECRET_KEY is created at the first start."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env
from tests.config.env.conftest import Error, Read

pytestmark = pytest.mark.once


@pytest.fixture
def secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path that NAME_FILE names; the file does not exist yet."""
    monkeypatch.setenv("NAME_FILE", str(tmp_path / "secret"))
    return tmp_path / "secret"


def test_a_secret_is_read_from_its_variable(read: Read) -> None:
    assert read(env.secret, "fox") == "fox"
    assert env.secret("UNSET") == ""


def test_a_secret_is_read_from_the_file_that_a_variable_names(secret_file: Path) -> None:
    secret_file.write_text("fox\n")

    assert env.secret("NAME") == "fox"


def test_a_secret_in_a_variable_and_in_a_file_is_refused(secret_file: Path, error: Error) -> None:
    assert error(env.secret, "fox") == "NAME: NAME and NAME_FILE are both set. Keep one of them."


@pytest.mark.parametrize(
    "content, reason",
    [(None, "cannot be read (No such file or directory)"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff", "text")],
)
def test_j8_a_file_without_a_secret_is_refused(secret_file: Path, content: bytes | None, reason: str) -> None:
    """It is not treated as a secret that is not set."""
    if content is not None:
        secret_file.write_bytes(content)

    with pytest.raises(ImproperlyConfigured) as refusal:
        env.secret("NAME")

    assert str(refusal.value).startswith(f"NAME_FILE: {secret_file} ")
    assert reason in str(refusal.value)


def test_a_folder_instead_of_the_file_of_a_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME_FILE", str(tmp_path))

    with pytest.raises(ImproperlyConfigured, match="Is a directory"):
        env.secret("NAME")


# --- SECRET_KEY ---


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """SECRET_KEY is not set."""
    monkeypatch.setenv("SECRET_KEY", "")


def test_a_secret_key_is_created_once_and_readable_by_its_owner_only(no_key: None, tmp_path: Path) -> None:
    key = env.secret_key(tmp_path)

    assert env.secret_key(tmp_path) == key
    assert len(key) >= 64
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_each_data_folder_has_a_different_secret_key(no_key: None, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert env.secret_key(tmp_path / "a") != env.secret_key(tmp_path / "b")


def test_processes_that_start_together_use_the_same_secret_key(no_key: None, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(env.secret_key, [tmp_path] * 8))

    assert len(set(keys)) == 1
    assert os.listdir(tmp_path) == ["secret_key"]


def test_a_secret_key_that_is_set_is_used_and_none_is_created(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", "x" * 32)

    assert env.secret_key(tmp_path) == "x" * 32
    assert os.listdir(tmp_path) == []


def test_a_short_secret_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", "x" * 31)

    with pytest.raises(ImproperlyConfigured) as refusal:
        env.secret_key(tmp_path)

    assert str(refusal.value) == "SECRET_KEY: it is shorter than 32 characters. Leave it empty to have one created."


@pytest.mark.parametrize("content", ["", "short"])
def test_a_damaged_file_of_the_secret_key_is_refused(no_key: None, tmp_path: Path, content: str) -> None:
    (tmp_path / "secret_key").write_text(content)

    with pytest.raises(ImproperlyConfigured, match=r"secret_key is damaged\. Remove it"):
        env.secret_key(tmp_path)


def test_a_secret_key_that_cannot_be_stored_is_not_created(no_key: None, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="No such file or directory"):
        env.secret_key(tmp_path / "missing")
