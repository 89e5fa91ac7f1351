"""Proof that a callback is fal's and ours, on frozen vectors: made once, not by the code under test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.fal.keys import read_jwks
from generations.fal.webhooks import InvalidCallback, SignatureMismatch, StaleTimestamp, read_headers, verify

KEYS = read_jwks(b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}]}')
BODY = (
    b'{"request_id": "3f9a1c2e-0000-4000-8000-000000000001",'
    b' "gateway_request_id": "3f9a1c2e-0000-4000-8000-000000000001", "status": "OK",'
    b' "payload": {"images": [{"url": "https://v3b.fal.media/files/b/0a8b/cat.png"}]}}'
)
HEADERS = {
    "X-Fal-Webhook-Request-Id": "3f9a1c2e-0000-4000-8000-000000000001",
    "X-Fal-Webhook-User-Id": "github|1234567",
    "X-Fal-Webhook-Timestamp": "1795000000",
    "X-Fal-Webhook-Signature": (
        "f773b888ddd0c0fd13b9658ec55e2dbcfd51a39d6b2d65af85d9aae331901607"
        "a88320ad27573f73bca9d8b84b0c2908b04e8256e4430d9ffeae897695c30e07"
    ),
}
NOW = 1795000010.0
NAMES = [name.removeprefix("X-Fal-Webhook-") for name in HEADERS]


def verdict(
    headers: dict[str, str], body: bytes = BODY, *, now: float = NOW, user_id: str | None = "github|1234567"
) -> str:
    return verify(headers, body, keys=KEYS, now=now, user_id=user_id).request_id


def test_the_frozen_delivery_is_proved() -> None:
    assert verdict(HEADERS) == HEADERS["X-Fal-Webhook-Request-Id"]


@pytest.mark.parametrize("seconds", [-300, 300])
def test_five_minutes_either_way_are_accepted(seconds: int) -> None:
    assert verdict(HEADERS, now=1795000000 + seconds) != ""


@pytest.mark.parametrize("seconds", [-301, 301])
def test_beyond_five_minutes_it_is_stale_and_names_the_request(seconds: int) -> None:
    with pytest.raises(StaleTimestamp) as stale:
        verdict(HEADERS, now=1795000000 + seconds)

    assert stale.value.request_id == HEADERS["X-Fal-Webhook-Request-Id"]


def test_a_true_signature_for_another_account_is_refused() -> None:
    with pytest.raises(InvalidCallback, match="another fal account"):
        verdict(HEADERS, user_id="github|7654321")


def test_a_caller_who_does_not_know_the_account_yet_checks_it_himself() -> None:
    assert verdict(HEADERS, user_id=None) != ""


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_header_is_refused(name: str) -> None:
    headers = {key: value for key, value in HEADERS.items() if not key.endswith(name)}

    with pytest.raises(InvalidCallback, match="missing or malformed"):
        verdict(headers)


@pytest.mark.parametrize(
    "timestamp", ["", " 1795000000", "1795000000 ", "+1795000000", "-1", "1e9", "1" * 30, "١٧٩٥٠٠٠٠٠٠", "0x1"]
)
def test_b6_a_timestamp_that_is_not_plain_digits_is_refused(timestamp: str) -> None:
    with pytest.raises(InvalidCallback):
        verdict({**HEADERS, "X-Fal-Webhook-Timestamp": timestamp})


@pytest.mark.parametrize("signature", ["", "00", "g" * 128, "0" * 127, "0" * 129, "0" * 10_000, "é" * 128])
def test_b2_a_signature_that_is_not_64_bytes_in_hex_is_refused(signature: str) -> None:
    with pytest.raises(InvalidCallback):
        verdict({**HEADERS, "X-Fal-Webhook-Signature": signature})


@given(name=st.sampled_from(NAMES), position=st.integers(0, 200), letter=st.characters(codec="ascii"))
def test_b2_any_changed_character_of_a_header_is_refused(name: str, position: int, letter: str) -> None:
    value = HEADERS[f"X-Fal-Webhook-{name}"]
    position %= len(value)
    forged = value[:position] + letter + value[position + 1 :]
    if (forged.lower() == value.lower() and name == "Signature") or forged == value:
        return

    with pytest.raises(InvalidCallback):
        verdict({**HEADERS, f"X-Fal-Webhook-{name}": forged})


@given(position=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_b2_any_flipped_bit_of_the_body_is_refused(position: int, bit: int) -> None:
    body = bytearray(BODY)
    body[position] ^= 1 << bit

    with pytest.raises(SignatureMismatch):
        verdict(HEADERS, bytes(body))


@given(st.dictionaries(st.sampled_from(list(HEADERS)), st.text(max_size=300)))
def test_b2_no_headers_whatever_crash_the_reader(changes: dict[str, str]) -> None:
    try:
        claim = read_headers({**HEADERS, **changes}, user_id=None)
    except InvalidCallback:
        return
    assert len(claim.signature) == 64


@pytest.mark.parametrize(
    "x",
    [
        "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",  # padded, as a third party saw it
        "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
    ],
)
def test_b31_keys_are_read_with_and_without_padding(x: str) -> None:
    assert read_jwks(b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"' + x.encode() + b'"}]}') == KEYS


def test_b31_what_is_no_ed25519_key_is_passed_over() -> None:
    document = (
        b'{"keys":[null, 7, {"kty":"RSA","n":"AQAB"}, {"x":"AAAA"}, {"x":"\xc3\xa9"}, {"x":"!!!!"}, {"x":7},'
        b' {"crv":"P-256","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"},'
        b' {"crv":"Ed25519","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}]}'
    )

    assert read_jwks(document) == KEYS
