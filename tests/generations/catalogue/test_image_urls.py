"""Which pictures fal is sent to fetch: public ones, at addresses that can be read in one way only."""

from __future__ import annotations

import pytest

from generations.catalogue import InvalidInput, find

pytestmark = pytest.mark.once

REFUSED = """
http://example.com/x ftp://example.com/x data:image/png;base64,x file:///etc/passwd //example.com/x example.com/x https://
https:///x https:example.com/x https://localhost/x https://localhost./x https://fox/x https://127.0.0.1/x https://127.1/x
https://0177.0.0.1/x https://0x7f.0.0.1/x https://0x7f.1/x https://2130706433/x https://10.0.0.1/x https://8.8.8.8/x
https://1.2.3.4./x https://169.254.169.254/x https://[::1]/x https://[::ffff:10.0.0.1]/x https://[2001:db8::1]/x
https://printer.local/x https://metadata.google.internal/x https://a.localhost/x https://router.home.arpa/x
https://user@example.com/x https://user:password@example.com/x https://@example.com/x https://:@example.com/x
https://example.com:0/x https://example.com:65536/x https://example.com:x/x https://example.com:-1/x https://[bad/x
https://.example.com/x https://example..com/x https://example.com./x https://-example.com/x https://exa_mple.com/x
https://exa%6dple.com/x https://example.c-/x https://example.123/x https://*.example.com/x
"""
STRANGE = [" ", "\t", "\n", "\\", "\x01", "\x1f", "\x7f", "\xa0", "é", "\u3002", "🦊"]


def _read(url: str) -> str:
    model = find("tripo-v2.5")
    return str(model.arguments(model.read({"image_url": url}))["image_url"])


@pytest.mark.parametrize("url", REFUSED.split())
def test_what_is_not_public_is_refused(url: str) -> None:
    """G17."""
    with pytest.raises(InvalidInput, match="image_url: Value error, The URL must"):
        _read(url)


@pytest.mark.parametrize("place", ["{}https://example.com/x", "https://exa{}mple.com/x", "https://example.com/x{}"])
@pytest.mark.parametrize("character", STRANGE, ids=ascii)
def test_what_two_readers_could_read_differently_is_refused(place: str, character: str) -> None:
    with pytest.raises(InvalidInput, match="plain ASCII without spaces or backslashes"):
        _read(place.format(character))


def test_an_endless_address_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 2048 characters"):
        _read("https://example.com/" + "x" * 2048)
    assert find("tripo-v2.5").schema["properties"]["image_url"]["maxLength"] == 2048


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/fox.png?width=5#top",
        "https://EXAMPLE.com:8443/[fail].png",
        "https://xn--fchse-kva.example/x",
        "https://bucket.s3.eu-central-1.amazonaws.com/key?X-Amz-Signature=0a&X-Amz-Expires=3600",
    ],
)
def test_a_public_address_is_taken_as_it_is(url: str) -> None:
    assert _read(url) == url
