"""Reads settings from environment variables, strictly.

A value that cannot be understood raises ImproperlyConfigured with the name, the reason and what to do. An error never
repeats a value that may contain a secret.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from generations.safe_http.addresses import is_loopback

_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}
# Printable ASCII but for the backslash, which browsers read as a slash and others do not.
_PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
# Without capitals, which some disks do not tell apart.
_FOLDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_FOLDERS_OF_LIMN = {"generations", "uploads"}
_MEDIA_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?", re.IGNORECASE)


SECRET_KEY_CHARACTERS_MIN = 32
TOKEN_CHARACTERS_MIN = 16


def refuse(name: str, why: str, what_to_do: str) -> ImproperlyConfigured:
    """Return the exception for a wrong value: its name, the reason and what to do."""
    return ImproperlyConfigured(f"{name}: {why} {what_to_do}")


def text(name: str, default: str = "") -> str:
    """Return the stripped value; the default if it is not set or empty."""
    return os.environ.get(name, "").strip() or default


def secret(name: str) -> str:
    """Return the value of NAME, or the content of the file that NAME_FILE names. Never both."""
    value, path = text(name), text(f"{name}_FILE")
    if value and path:
        raise refuse(name, f"{name} and {name}_FILE are both set.", "Keep one of them.")
    if not path:
        return value
    value = _content(f"{name}_FILE", Path(path))
    if not value:
        raise refuse(f"{name}_FILE", f"{path} is empty.", f"Write the value into it, or remove {name}_FILE.")
    return value


def _content(name: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise refuse(name, f"{path} cannot be read ({error.strerror}).", "Correct the path or its rights.") from error
    except UnicodeDecodeError as error:
        raise refuse(name, f"{path} does not hold text.", "Name the file with the value in it.") from error


def flag(name: str, default: bool) -> bool:
    """Return a boolean, which is written as one of the usual words."""
    word = text(name).lower()
    if not word:
        return default
    if word not in _TRUE | _FALSE:
        raise refuse(name, f"“{word}” is neither true nor false.", "Write true or false.")
    return word in _TRUE


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """Return a whole number from `minimum` to `maximum`."""
    word = text(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", word) or not minimum <= int(word) <= maximum:
        raise refuse(name, f"“{word}” is not a whole number from {minimum} to {maximum}.", "Correct it.")
    return int(word)


def one_of(name: str, default: str, choices: set[str]) -> str:
    """Return one of the choices, in upper case."""
    word = text(name, default).upper()
    if word not in choices:
        raise refuse(name, f"“{word}” is not known.", f"Choose one of {', '.join(sorted(choices))}.")
    return word


def words(name: str, default: str = "") -> list[str]:
    """Return a list of values that are separated by commas."""
    return [word for part in text(name, default).split(",") if (word := part.strip())]


def folder(name: str, default: Path) -> Path:
    """Return the path of a folder, which is created if it does not exist."""
    word = text(name, str(default))
    try:
        path = Path(word).expanduser().resolve()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: ~name of an unknown user
        raise refuse(name, f"{word} cannot be created ({error}).", "Name a writable folder.") from error
    return path


def web_url(name: str, default: str) -> str:
    """Return an https URL without a trailing slash; http is accepted for loopback addresses only."""
    value = text(name, default).rstrip("/")
    parts = _split(name, value)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise refuse(name, f"“{value}” is plain http, and {parts.hostname} is not a loopback address.", "Use https.")
    return value


def domain(name: str) -> str:
    """Return a host name, with or without a port; "" if it is not set."""
    given = text(name)
    if given and (not _MEDIA_HOST.fullmatch(given) or given.startswith("*")):
        raise refuse(name, f"“{given}” is not a host name.", "Write only the name, like files.example.com.")
    return given


def storage_prefix(name: str) -> str:
    """Return the folder of this deployment in its bucket, with a slash at its end; "" for the whole bucket."""
    value = text(name).strip("/")
    folders = value.split("/") if value else []
    for part in folders:
        if not _FOLDER.fullmatch(part):
            raise refuse(name, f"“{part}” is not the name of a folder.", "Use a-z, 0-9, - and _, like teams/blue.")
        if part in _FOLDERS_OF_LIMN:
            raise refuse(name, f"“{part}” is a folder that every Limn has.", "Choose another name.")
    return "".join(f"{part}/" for part in folders)


def page_hosts(name: str, default: str) -> list[str]:
    """Return host patterns like those of `media_hosts`; "*" stands for any public host."""
    anywhere = [host for host in words(name, default) if host == "*"]
    return [*anywhere, *_host_patterns(name, [host for host in words(name, default) if host != "*"])]


def media_hosts(name: str, default: str) -> list[str]:
    """Return host patterns such as *.fal.media or 127.0.0.1:9000."""
    return _host_patterns(name, words(name, default))


def _host_patterns(name: str, hosts: list[str]) -> list[str]:
    for host in hosts:
        if not _MEDIA_HOST.fullmatch(host) or not 0 < int(host.partition(":")[2] or 443) <= 65535:
            raise refuse(name, f"“{host}” is not a host pattern.", "Write names like *.fal.media or 127.0.0.1:9000.")
    return hosts


def database(name: str, default: Path) -> dict[str, object]:
    """Return the entry of DATABASES for a URL; the SQLite file `default` if no URL is set."""
    url = secret(name) or f"sqlite:///{default}"
    # Checked before it is parsed: the parser's warning about an unknown scheme shows the password.
    if not url.startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise refuse(name, "the URL names neither SQLite nor PostgreSQL.", "Begin it with sqlite:/// or postgresql://.")
    config: dict[str, object] = _parsed(name, environ.Env.db_url_config, url)
    if config["NAME"] in ("", ":memory:"):
        raise refuse(name, "the URL names no database.", "End it with the name: sqlite:////srv/limn.sqlite3, …/limn.")
    return config


def redis_url(name: str) -> str:
    """Return the URL of a Redis server; "" if it is not set."""
    url = secret(name)
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        raise refuse(name, "it is not the address of a Redis.", "Write it like redis://127.0.0.1:6379/0.")
    return url


def email(name: str, default: str) -> dict[str, object]:
    """Return Django's EMAIL_… settings for a URL."""
    return _parsed(name, environ.Env.email_url_config, secret(name) or default)


def mail_address(name: str, default: str) -> str:
    """Return the sender of e-mails: `name@host` or `Limn <name@host>`."""
    value = text(name, default)
    if not re.fullmatch(r"[^<>@\r\n]+@[^<>@\s]+|[^<>@\r\n]*<[^<>@\s]+@[^<>@\s]+>", value):
        raise refuse(name, f"“{value}” is not an e-mail address.", "Write it like Limn <limn@example.com>.")
    return value


def mail_addresses(name: str) -> list[str]:
    """Return the recipients of e-mails, separated by commas."""
    for address in words(name):
        if not re.fullmatch(r"[^<>@\s,]+@[^<>@\s,]+", address):
            raise refuse(
                name, f"“{address}” is not an e-mail address.", "Write them like ann@example.com,bo@example.com."
            )
    return words(name)


def token(name: str) -> str:
    """Return a secret that clients send over the network: long enough that it cannot be guessed."""
    value = secret(name)
    if value and (len(value) < TOKEN_CHARACTERS_MIN or not _PLAIN.fullmatch(value)):
        why = f"it has fewer than {TOKEN_CHARACTERS_MIN} characters, or spaces and the like."
        raise refuse(name, why, "Make one with: openssl rand -hex 32")
    return value


def _parsed(name: str, reader: Callable[[str], Any], url: str) -> dict[str, object]:
    try:
        return dict(reader(url))
    except (ValueError, ImproperlyConfigured) as error:
        # The URL may contain a password, so neither it nor the parser's message is repeated, not even in a traceback.
        reason = type(error).__name__
    raise refuse(name, f"the URL cannot be read ({reason}).", "See docs/settings.md for its form.")


def secret_key(data_dir: Path) -> str:
    """Return SECRET_KEY, or a random key that is created at the first start and kept beside the data."""
    given = secret("SECRET_KEY")
    if given:
        if len(given) < SECRET_KEY_CHARACTERS_MIN:
            why = f"it is shorter than {SECRET_KEY_CHARACTERS_MIN} characters."
            raise refuse("SECRET_KEY", why, "Leave it empty to have one created.")
        return given
    path = data_dir / "secret_key"
    if not path.exists():
        # Written under a temporary name and then linked, so two processes that start together read the same whole key.
        try:
            handle, draft = tempfile.mkstemp(dir=path.parent)  # readable by its owner only
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(48))
            with suppress(FileExistsError):
                os.link(draft, path)
            os.unlink(draft)
        except OSError as error:
            why = f"{path} cannot be created ({error.strerror})."
            raise refuse("SECRET_KEY", why, "Make the folder writable.") from error
    kept = _content("SECRET_KEY", path)
    if len(kept) < SECRET_KEY_CHARACTERS_MIN:
        raise refuse(
            "SECRET_KEY", f"{path} is damaged.", "Remove it; a new key is created, and all users log in again."
        )
    return kept


def _split(name: str, value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        usable = bool(_PLAIN.fullmatch(value) and parts.hostname and parts.port != 0)
    except ValueError:
        parts, usable = SplitResult("", "", "", "", ""), False
    if "@" in parts.netloc:
        raise refuse(name, "the address holds a user name or password.", "Remove them.")
    if not usable or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise refuse(name, f"“{value}” is not a web address.", "Write it like https://limn.example.com.")
    return parts
