"""Readers of web addresses, host names and host patterns: what they accept, and why they refuse the rest."""

from __future__ import annotations

import pytest

from config import env
from tests.config.env.conftest import Error, Read

pytestmark = pytest.mark.once


def test_a_web_address_is_https_or_a_loopback_address(read: Read) -> None:
    expected = {
        "https://limn.example.com/": "https://limn.example.com",
        "https://limn.example.com:8443": "https://limn.example.com:8443",
        "https://rest.fal.ai/.well-known/jwks.json": "https://rest.fal.ai/.well-known/jwks.json",
        "http://localhost:8000": "http://localhost:8000",
        "http://127.0.0.1:8000///": "http://127.0.0.1:8000",
        "http://127.8.9.1": "http://127.8.9.1",
        "http://[::1]:8000": "http://[::1]:8000",
        "": "https://default.example",
    }

    assert {value: read(env.web_url, value, "https://default.example") for value in expected} == expected


PLAIN_HTTP = (
    "http://limn.example.com",
    "http://10.0.0.1",
    "http://0.0.0.0",
    "http://[::]",
    "http://localhost.evil.com",
)


def test_plain_http_to_another_machine_is_refused(error: Error) -> None:
    for value in PLAIN_HTTP:
        message = error(env.web_url, value, "")
        assert f"NAME: “{value}” is plain http" in message
        assert message.endswith("is not a loopback address. Use https.")


NO_WEB_ADDRESSES = (
    *("limn.example.com", "ftp://limn.example.com", "https:", "https:///x", "//limn.example.com", "x"),
    *("https://a.example?x=1", "https://a.example#x", "https://[bad", "https://é.fr"),
    *("https://a.example:x", "https://a.example:0", "https://a.example:65536"),
    *("https://a b.example", "https://a\t.example", "https://a.example\\x"),
)


def test_other_text_than_a_web_address_is_refused(error: Error) -> None:
    for value in NO_WEB_ADDRESSES:
        message = error(env.web_url, value, "")
        assert message == f"NAME: “{value}” is not a web address. Write it like https://limn.example.com."


def test_a_web_address_with_a_password_is_refused_and_not_repeated(error: Error) -> None:
    for value in ("https://user:hunter2@a.example", "https://hunter2@a.example", "https://@a.example"):
        message = error(env.web_url, value, "")
        assert message == "NAME: the address holds a user name or password. Remove them."


def test_a_media_host_is_a_name_or_a_pattern_with_or_without_a_port(read: Read) -> None:
    for value in ("*.fal.media", "fal.media", "127.0.0.1:9000", "localhost:65535", "*.fal.media:443", "X.Y"):
        assert read(env.media_hosts, f"{value}, fal.media", "") == [value, "fal.media"]


NO_MEDIA_HOSTS = (
    *("*", "*.", "*fal.media", "fal.*", ".fal.media", "fal_media", "fal media"),
    *("https://fal.media", "fal.media/x", "user@fal.media", "[::1]:9000"),
    *("fal.media:", "fal.media:x", "fal.media:0", "fal.media:65536", "fal.media:99999"),
)


def test_other_text_than_a_media_host_is_refused(error: Error) -> None:
    for value in NO_MEDIA_HOSTS:
        message = error(env.media_hosts, f"fal.media,{value}", "")
        assert message == f"NAME: “{value}” is not a host pattern. Write names like *.fal.media or 127.0.0.1:9000."


def test_a_domain_is_a_host_name_with_or_without_a_port(read: Read) -> None:
    for value in ("files.example.com", "files.example.com:8443", ""):
        assert read(env.domain, value) == value


def test_other_text_than_a_domain_is_refused(error: Error) -> None:
    for value in ("https://files.example.com", "*.example.com", "files.example.com/limn", "a b"):
        assert "Write only the name" in error(env.domain, value)


def test_page_hosts_are_any_host_or_named_ones(read: Read) -> None:
    assert read(env.page_hosts, "*", "") == ["*"]
    assert read(env.page_hosts, "*.example.com,127.0.0.1:9000", "*") == ["*.example.com", "127.0.0.1:9000"]
