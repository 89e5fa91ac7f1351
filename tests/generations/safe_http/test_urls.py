"""Which URLs are requested at all. A URL that is refused here is refused before its host name is resolved."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.safe_http import client as http_client
from generations.safe_http.errors import AddressRefused, HostRefused
from generations.safe_http.urls import matches, parse, permit
from tests.helpers.scripted_servers import ScriptedResolver
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.once

HOSTS = ["*.fal.media", "fal.media", "storage.googleapis.com", "127.0.0.1:9000", "localhost:9001"]

# White space, control characters, backslashes, and letters that look like ASCII ones, at every place of a URL.
ODD_CHARACTERS = ["\t", "\n", "\r", "\0", " ", "\\", "\x0b", "\x7f", "\xa0", "\u200b", "\u3002", "\uff0f", "ⓕ", "é"]
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

HOSTILE = [
    *(place.format(character) for character in ODD_CHARACTERS for place in PLACES),
    *(f"https://{host}/x" for host in (LOOPBACK + LOOKALIKES + USERS + PORTS).split()),
    *(f"http://{host}/x" for host in LOOPBACK.split()),
    *SCHEMES.split(),
    *LONG,
]


def is_refused(url: str) -> bool:
    try:
        http_client.fetch(url, io.BytesIO(), hosts=HOSTS, bytes_max=1, seconds_max=HANG_SECONDS)
    except (AddressRefused, HostRefused):
        return True
    return False


def test_c15_c18_hostile_urls_are_refused_before_their_names_are_resolved(resolver: ScriptedResolver) -> None:
    assert len(set(HOSTILE)) > 200
    assert [url for url in HOSTILE if not is_refused(url)] == []
    assert (resolver.resolved, resolver.connected) == ([], [])


def test_c15_only_a_host_name_may_be_allowed_later() -> None:
    """What a URL says itself is final: its scheme, an address, an unusual port."""
    refused = {
        "https://cdn.example/x": HostRefused,
        "https://v3.fal.media.example/x": HostRefused,
        "http://cdn.example/x": AddressRefused,
        "https://cdn.example:8443/x": AddressRefused,
        "https://me@cdn.example/x": AddressRefused,
        "https://10.0.0.1/x": AddressRefused,
        "https://[fd00::1]/x": AddressRefused,
        "https://0x7f000001/x": AddressRefused,
        "https://localhost/x": AddressRefused,
    }

    for url, refusal in refused.items():
        with pytest.raises(refusal):
            permit(url, HOSTS)


def test_a_url_is_parsed_into_one_form() -> None:
    parsed = {
        "https://v3.fal.media/files/b/x.png": "https://v3.fal.media:443/files/b/x.png",
        "https://V3B.FAL.media": "https://v3b.fal.media:443/",
        "HTTPS://v3.fal.media:443/x?y=1#z": "https://v3.fal.media:443/x?y=1",
        "https://storage.googleapis.com/falserverless/a%20b.png": (
            "https://storage.googleapis.com:443/falserverless/a%20b.png"
        ),
        "https://fal.media?x": "https://fal.media:443/?x",
        "http://127.0.0.1:9000/files/1/[fail].png": "http://127.0.0.1:9000/files/1/[fail].png",
        "http://[::1]:9000/x": "http://[::1]:9000/x",
        "http://localhost/x": "http://localhost:80/x",
    }

    assert {url: parse(url).url for url in parsed} == parsed


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://v3.fal.media{text}"):
        try:
            target = parse(url)
        except AddressRefused:
            continue
        assert parse(target.url) == target


def test_a_pattern_covers_whole_names_and_ports() -> None:
    covered = {
        ("*.fal.media", "https://v3.fal.media/x"): True,
        ("*.fal.media", "https://a.b.fal.media/x"): True,
        ("*.FAL.media", "https://v3.fal.media/x"): True,
        ("*.fal.media", "https://fal.media/x"): False,
        ("*.fal.media", "https://evilfal.media/x"): False,
        ("fal.media", "https://fal.media/x"): True,
        ("fal.media", "https://v3.fal.media/x"): False,
        ("fal.media", "https://fal.media:8443/x"): False,
        ("fal.media:8443", "https://fal.media:8443/x"): True,
        ("fal.media:8443", "https://fal.media/x"): False,
        ("*.fal.media:8443", "https://v3.fal.media:8443/x"): True,
        ("127.0.0.1:9000", "http://127.0.0.1:9000/x"): True,
        ("127.0.0.1:9000", "http://127.0.0.1:9001/x"): False,
        ("127.0.0.1:9000", "http://localhost:9000/x"): False,
    }

    assert {(pattern, url): matches(pattern, parse(url)) for pattern, url in covered} == covered
