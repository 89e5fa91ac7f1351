"""Verification of callbacks, with a frozen example that was not signed by the code under test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.fal.keys import read_jwks
from generations.fal.webhooks import InvalidCallback, SignatureMismatch, StaleTimestamp, read_headers, verify

pytestmark = pytest.mark.once
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


def verified(
    headers: dict[str, str], body: bytes = BODY, *, now: float = NOW, user_id: str | None = "github|1234567"
) -> str:
    """The verified request id."""
    return verify(headers, body, keys=KEYS, now=now, user_id=user_id).request_id


def test_the_frozen_callback_is_verified() -> None:
    assert verified(HEADERS) == HEADERS["X-Fal-Webhook-Request-Id"]


def test_a_timestamp_may_be_five_minutes_off() -> None:
    for seconds in (-300, 300):
        assert verified(HEADERS, now=1795000000 + seconds) == HEADERS["X-Fal-Webhook-Request-Id"]


def test_a_timestamp_further_off_is_stale_and_names_the_request() -> None:
    for seconds in (-301, 301):
        with pytest.raises(StaleTimestamp) as stale:
            verified(HEADERS, now=1795000000 + seconds)

        assert (stale.value.request_id, stale.value.seconds_off) == (HEADERS["X-Fal-Webhook-Request-Id"], -seconds)


def test_a_true_signature_for_another_account_is_refused() -> None:
    with pytest.raises(InvalidCallback, match="another fal account"):
        verified(HEADERS, user_id="github|7654321")


def test_without_a_known_account_any_is_accepted() -> None:
    assert verified(HEADERS, user_id=None) == HEADERS["X-Fal-Webhook-Request-Id"]


def test_a_missing_header_is_refused() -> None:
    for name in HEADERS:
        with pytest.raises(InvalidCallback, match="missing or malformed"):
            verified({key: value for key, value in HEADERS.items() if key != name})


def test_b6_a_timestamp_that_is_not_plain_digits_is_refused() -> None:
    for timestamp in ("", " 1795000000", "1795000000 ", "+1795000000", "-1", "1e9", "1" * 30, "١٧٩٥٠٠٠٠٠٠", "0x1"):
        with pytest.raises(InvalidCallback):
            verified({**HEADERS, "X-Fal-Webhook-Timestamp": timestamp})


def test_b2_a_signature_that_is_not_64_bytes_in_hexadecimal_digits_is_refused() -> None:
    for signature in ("", "00", "g" * 128, "0" * 127, "0" * 129, "0" * 10_000, "é" * 128):
        with pytest.raises(InvalidCallback):
            verified({**HEADERS, "X-Fal-Webhook-Signature": signature})


@given(name=st.sampled_from(NAMES), position=st.integers(0, 200), letter=st.characters(codec="ascii"))
def test_b2_any_changed_character_of_a_header_is_refused(name: str, position: int, letter: str) -> None:
    value = HEADERS[f"X-Fal-Webhook-{name}"]
    position %= len(value)
    forged = value[:position] + letter + value[position + 1 :]
    if (forged.lower() == value.lower() and name == "Signature") or forged == value:
        return

    with pytest.raises(InvalidCallback):
        verified({**HEADERS, f"X-Fal-Webhook-{name}": forged})


@given(position=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_b2_any_flipped_bit_of_the_body_is_refused(position: int, bit: int) -> None:
    body = bytearray(BODY)
    body[position] ^= 1 << bit

    with pytest.raises(SignatureMismatch):
        verified(HEADERS, bytes(body))


@given(st.dictionaries(st.sampled_from(list(HEADERS)), st.text(max_size=300)))
def test_b2_no_headers_crash_the_reader(changes: dict[str, str]) -> None:
    try:
        signed = read_headers({**HEADERS, **changes}, user_id=None)
    except InvalidCallback:
        return
    assert len(signed.signature) == 64


# --- The key set ---


def test_b31_keys_are_read_with_and_without_padding() -> None:
    for x in ("A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"):
        assert read_jwks(b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"' + x.encode() + b'"}]}') == KEYS


def test_b31_keys_of_other_types_are_ignored() -> None:
    document = (
        b'{"keys":[null, 7, {"kty":"RSA","n":"AQAB"}, {"x":"AAAA"}, {"x":"\xc3\xa9"}, {"x":"!!!!"}, {"x":7},'
        b' {"crv":"P-256","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"},'
        b' {"crv":"Ed25519","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}]}'
    )

    assert read_jwks(document) == KEYS
