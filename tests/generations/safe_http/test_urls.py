"""Which addresses are fetched at all. What is refused here is refused before any name is looked up."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.safe_http import client as http_client
from generations.safe_http.client import AddressRefused, matches, parse
from tests.helpers.scripted_servers import Names
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.once

HOSTS = ["*.fal.media", "fal.media", "storage.googleapis.com", "127.0.0.1:9000", "localhost:9001"]

# Spaces, controls, backslashes, and letters that look like others, wherever they may stand.
STRANGE = ["\t", "\n", "\r", "\0", " ", "\\", "\x0b", "\x7f", "\xa0", "\u200b", "\u3002", "\uff0f", "ⓕ", "é"]
PLACES = [
    "{}https://v3.fal.media/x",
    "https://{}v3.fal.media/x",
    "https://v3.fal.media{}/x",
    "https://v3.fal.media/x{}",
]

LOOPBACK = """
127.0.0.1 127.1 127.0.1 127.0.0.1. 0 0.0.0.0 0x7f000001 0x7f.0.0.1 0x7f.1 2130706433 017700000001 0177.0.0.1
0177.0.0.01 127.000.000.001 00000177.0.0.1 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:0:0:1]
[64:ff9b::7f00:1] [2002:7f00:1::] [fe80::1%25lo] [::1%25lo] 169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376
10.0.0.1 192.168.0.1 172.16.0.1 100.100.100.200 localhost localhost. LOCALHOST metadata.google.internal
127.0.0.1.nip.io fal.media.127.0.0.1.nip.io 8.8.8.8 [2001:4860:4860::8888]
"""

LOOKALIKES = """
evil.com notfal.media xfal.media fal.media.evil.com v3.fal.media.evil.com fal-media.com fal.mediax .fal.media
..fal.media v3..fal.media v3.fal.media. fal.media. *.fal.media -v3.fal.media v3-.fal.media v_3.fal.media v3.fal.media%00
v3.fal%2emedia %76%33.fal.media v3.fal.media;evil.com v3.fal.media,evil.com v3.fal.media&evil.com (v3.fal.media)
{v3.fal.media} [v3.fal.media] evil[v3.fal.media] [v3.fal.media]evil [::1].fal.media v3.fal.media[::1] 'v3.fal.media
"v3.fal.media v3.fal.media` v3.fal.media~ v3.fal.media! v3.fal.media$ v3.fal.media+ =v3.fal.media xn--.fal.media.evil
evil.storage.googleapis.com storage.googleapis.com.evil.com commondatastorage.googleapis.com fal.run queue.fal.run
"""

USERS = """
user@v3.fal.media user:password@v3.fal.media @v3.fal.media :@v3.fal.media v3.fal.media@evil.com
v3.fal.media:443@evil.com v3.fal.media%40evil.com@evil.com evil.com@v3.fal.media a@b@v3.fal.media
evil.com:80#@v3.fal.media evil.com?@v3.fal.media evil.com/@v3.fal.media evil.com;@v3.fal.media
"""

PORTS = """
v3.fal.media:0 v3.fal.media:00 v3.fal.media:0443 v3.fal.media: v3.fal.media:22 v3.fal.media:8443 v3.fal.media:65536
v3.fal.media:99999 v3.fal.media:-1 v3.fal.media:+443 v3.fal.media:4_43 v3.fal.media:0x1bb v3.fal.media:443:443
v3.fal.media::443 v3.fal.media:443x v3.fal.media:443.0 127.0.0.1:9001 127.0.0.1:90000 127.0.0.1:09000 localhost:9000
"""

SCHEMES = """
ftp://v3.fal.media/x file:///etc/passwd file://v3.fal.media/x gopher://v3.fal.media:443/_x data:,x javascript:alert(1)
ws://v3.fal.media/x wss://v3.fal.media/x jar:https://v3.fal.media!/x dict://v3.fal.media/x ldap://v3.fal.media/x
https+unix://v3.fal.media/x httpss://v3.fal.media/x ://v3.fal.media/x //v3.fal.media/x /x x v3.fal.media/x
https:/v3.fal.media/x https:v3.fal.media/x https:///v3.fal.media/x https:////v3.fal.media/x
https:// http:// https: https://? https://#
http://v3.fal.media/x http://fal.media:80/x http://storage.googleapis.com:443/x http://v3.fal.media:443/x
"""

LONG = ["https://v3.fal.media/" + "x" * 4100, f"https://{'x' * 64}.fal.media/x", f"https://{'x.' * 130}fal.media/x", ""]

NASTY = [
    *(place.format(character) for character in STRANGE for place in PLACES),
    *(f"https://{host}/x" for host in (LOOPBACK + LOOKALIKES + USERS + PORTS).split()),
    *(f"http://{host}/x" for host in LOOPBACK.split()),
    *SCHEMES.split(),
    *LONG,
]


@pytest.mark.parametrize("url", NASTY, ids=range(len(NASTY)))
def test_a_nasty_address_is_refused_before_any_name_is_looked_up(names: Names, url: str) -> None:
    """C15, C18."""
    with pytest.raises(AddressRefused):
        http_client.fetch(url, io.BytesIO(), hosts=HOSTS, bytes_max=1, seconds_max=HANG_SECONDS)

    assert (names.asked, names.dialled) == ([], [])


def test_the_corpus_is_a_corpus() -> None:
    assert len(set(NASTY)) > 200


@pytest.mark.parametrize(
    "url, dialled",
    [
        ("https://v3.fal.media/files/b/x.png", "https://v3.fal.media:443/files/b/x.png"),
        ("https://V3B.FAL.media", "https://v3b.fal.media:443/"),
        ("HTTPS://v3.fal.media:443/x?y=1#z", "https://v3.fal.media:443/x?y=1"),
        (
            "https://storage.googleapis.com/falserverless/a%20b.png",
            "https://storage.googleapis.com:443/falserverless/a%20b.png",
        ),
        ("https://fal.media?x", "https://fal.media:443/?x"),
        ("http://127.0.0.1:9000/files/1/[fail].png", "http://127.0.0.1:9000/files/1/[fail].png"),
        ("http://[::1]:9000/x", "http://[::1]:9000/x"),
        ("http://localhost/x", "http://localhost:80/x"),
    ],
)
def test_an_address_is_read_in_one_form(url: str, dialled: str) -> None:
    assert parse(url).url == dialled


@given(st.text())
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://v3.fal.media{text}"):
        try:
            target = parse(url)
        except AddressRefused:
            continue
        assert parse(target.url) == target


@pytest.mark.parametrize(
    "pattern, url, expected",
    [
        ("*.fal.media", "https://v3.fal.media/x", True),
        ("*.fal.media", "https://a.b.fal.media/x", True),
        ("*.FAL.media", "https://v3.fal.media/x", True),
        ("*.fal.media", "https://fal.media/x", False),
        ("*.fal.media", "https://evilfal.media/x", False),
        ("fal.media", "https://fal.media/x", True),
        ("fal.media", "https://v3.fal.media/x", False),
        ("fal.media", "https://fal.media:8443/x", False),
        ("fal.media:8443", "https://fal.media:8443/x", True),
        ("fal.media:8443", "https://fal.media/x", False),
        ("*.fal.media:8443", "https://v3.fal.media:8443/x", True),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/x", True),
        ("127.0.0.1:9000", "http://127.0.0.1:9001/x", False),
        ("127.0.0.1:9000", "http://localhost:9000/x", False),
    ],
)
def test_a_pattern_matches_whole_names_and_ports(pattern: str, url: str, expected: bool) -> None:
    assert matches(pattern, parse(url)) is expected
