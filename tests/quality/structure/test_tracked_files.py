"""The files of the repository name no machine, no package registry and no person."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.source import ROOT, name, tracked_files

pytestmark = pytest.mark.once

LOCKS = ("requirements.lock", "requirements-dev.lock")
ADDRESS = re.compile(r"https?://(?:[^/@\s\"']+@)?([\w.-]+)")
HOMES = re.compile(r"(?<![\w./:])/(?:root|home|Users)/\w+")
LOCAL = {"127.0.0.1", "localhost"}
CONFIGURED = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", "~/.config/uv/uv.toml", "~/.npmrc")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_and_no_hosts(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pins, hashes = text.count("=="), text.count("--hash=sha256:")

    assert 0 < pins <= hashes
    assert "://" not in text
    assert "index-url" not in text


def test_both_locks_pin_the_same_versions() -> None:
    runtime, dev = (_pins((ROOT / lock).read_text()) for lock in LOCKS)

    assert runtime - dev == set()


def test_no_file_names_this_machine_or_its_registries() -> None:
    forbidden = {str(ROOT), *_hosts_of_registries()}
    named = [
        f"{name(path)}: {word}"
        for path, text in _texts()
        for word in [*(word for word in forbidden if word in text), *HOMES.findall(text)]
    ]

    assert named == []


def _pins(lock: str) -> set[str]:
    return set(re.findall(r"^(\S+==[^\s\\;]+)", lock, re.MULTILINE))


def _texts() -> Iterator[tuple[Path, str]]:
    for path in tracked_files():
        try:
            yield path, path.read_text()
        except UnicodeDecodeError:
            continue  # A picture.


def _hosts_of_registries() -> set[str]:
    """The hosts from which this machine installs packages, such as the mirror of a company."""
    configured = [value for key, value in os.environ.items() if "INDEX" in key or "registry" in key.lower()]
    configured += [path.read_text() for word in CONFIGURED if (path := Path(word).expanduser()).is_file()]
    return {host for text in configured for host in ADDRESS.findall(text)} - LOCAL
