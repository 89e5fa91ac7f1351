"""Which URLs of input files are accepted: public ones that every program reads in the same way."""

from __future__ import annotations

import pytest

from generations.catalogue import InvalidInput, find

pytestmark = pytest.mark.once

NOT_PUBLIC = """
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
AMBIGUOUS = [" ", "\t", "\n", "\\", "\x01", "\x1f", "\x7f", "\xa0", "é", "\u3002", "🦊"]
PUBLIC = [
    "https://example.com",
    "https://example.com/fox.png?width=5#top",
    "https://EXAMPLE.com:8443/[fail].png",
    "https://xn--fchse-kva.example/x",
    "https://bucket.s3.eu-central-1.amazonaws.com/key?X-Amz-Signature=0a&X-Amz-Expires=3600",
]


def sent(url: str) -> str:
    model = find("tripo-v2.5")
    return str(model.arguments(model.read({"image_url": url}))["image_url"])


def test_g17_a_url_that_is_not_public_is_refused() -> None:
    for url in NOT_PUBLIC.split():
        with pytest.raises(InvalidInput, match="image_url: Value error, The URL must"):
            sent(url)


def test_a_url_that_two_programs_could_read_differently_is_refused() -> None:
    for character in AMBIGUOUS:
        for template in ("{}https://example.com/x", "https://exa{}mple.com/x", "https://example.com/x{}"):
            with pytest.raises(InvalidInput, match="plain ASCII without spaces or backslashes"):
                sent(template.format(character))


def test_a_url_has_at_most_2048_characters() -> None:
    with pytest.raises(InvalidInput, match="at most 2048 characters"):
        sent("https://example.com/" + "x" * 2048)

    assert find("tripo-v2.5").schema["properties"]["image_url"]["maxLength"] == 2048


def test_a_public_url_is_sent_unchanged() -> None:
    assert [sent(url) for url in PUBLIC] == PUBLIC
