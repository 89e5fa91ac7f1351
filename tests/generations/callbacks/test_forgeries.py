"""Forged callbacks, and the tokens of other submissions. Case ids: docs/failure-modes.md, group B."""

from __future__ import annotations

import random
from collections import Counter
from uuid import uuid4

import pytest
from django.test import RequestFactory

from generations.callbacks.views import fal_callback
from generations.models import Generation, Phase, ProviderCallback
from simulator import Simulator
from tests.fixtures.callbacks import SubmitMany
from tests.generations.callbacks.key_clock import KeyClock
from tests.helpers.callback_sender import CallbackSender

FORGERIES = 10_000
BODY = b'{"request_id": "ours", "status": "OK", "payload": {"images": [{"url": "https://v3.fal.media/a.png"}]}}'
PARTS = ("Request-Id", "User-Id", "Timestamp", "Signature", "body")
HeadersAndBody = tuple[dict[str, str], bytes]


def post_to_view(headers: dict[str, str], body: bytes) -> int:
    """Calls the view without middleware, which is faster. Returns the status."""
    request = RequestFactory().post("/hooks/fal", body, content_type="application/json", headers=headers)
    return fal_callback(request, submission_id=uuid4(), token="guessed").status_code


def forge(chance: random.Random, headers: dict[str, str], body: bytes) -> HeadersAndBody:
    """The signed callback with one part changed."""
    part = chance.choice(PARTS)
    if part == "body":
        return headers, change(chance, body)
    name = f"X-Fal-Webhook-{part}"
    value = change(chance, headers[name].encode()).decode("latin-1")
    # The signature in capital letters is the same signature.
    value += "0" * (value.lower() == headers[name])
    return {**headers, name: value}, body


def change(chance: random.Random, text: bytes) -> bytes:
    """The text with a bit flipped, cut, with a character added, doubled, or empty."""
    at = chance.randrange(len(text))
    flipped = bytes([text[at] ^ 1 << chance.randrange(8)])
    cut, longer = text[:at], text[:at] + b"0" + text[at:]
    result = chance.choice([cut + flipped + text[at + 1 :], cut, longer, text * 2, b"", b" " + text])
    return result if result != text else text + b"\x00"


# --- Without the database ---


@pytest.mark.once
def test_b2_ten_thousand_forgeries_are_rejected_without_a_query(fal: Simulator, key_clock: KeyClock) -> None:
    """This test may not use the database: a query would raise. For the keys all of it happens within one minute."""
    chance = random.Random(2)
    headers = fal.sign(BODY, request_id="ours")

    answers = Counter(post_to_view(*forge(chance, headers, BODY)) for _ in range(FORGERIES))

    assert answers == {401: FORGERIES}
    assert fal.jwks_fetches == 1


@pytest.mark.once
def test_b2_a_header_that_no_column_can_hold_is_rejected(fal: Simulator) -> None:
    signed = fal.sign(BODY, request_id="ours")

    for name in ("Request-Id", "User-Id"):
        for value in ("x" * 101, "line\nbreak", "ümlaut", "nul\x00"):
            assert post_to_view({**signed, f"X-Fal-Webhook-{name}": value}, BODY) == 401


@pytest.mark.once
@pytest.mark.parametrize("length, status", [("-1", 413), ("1e3", 413), ("9" * 5000, 413), ("²", 413), ("", 401)])
def test_b22_a_content_length_that_is_no_number_is_rejected(length: str, status: int, fal: Simulator) -> None:
    headers = {**fal.sign(b"another body", request_id="ours"), "Content-Length": length}

    assert post_to_view(headers, b"") == status


# --- Genuine callbacks at the URLs of other submissions ---


@pytest.mark.django_db(transaction=True)
def test_b5_a_token_is_valid_for_its_own_submission_only(submit_many: SubmitMany, callbacks: CallbackSender) -> None:
    """Each of 20 genuine callbacks is sent with its token to the URL of every other submission, and then to its own."""
    submissions = submit_many(20)
    signed = [(submission, *callbacks.signed(submission)) for submission in submissions]

    answers = Counter(
        callbacks.post(other.pk, owner.token, body, headers)
        for owner, body, headers in signed
        for other in submissions
        if other != owner
    )

    assert answers == {404: 380}
    assert Generation.objects.filter(phase=Phase.WAITING).count() == 20
    assert [callbacks.send(owner, body) for owner, body, _ in signed] == [200] * 20
    assert ProviderCallback.objects.filter(outcome=ProviderCallback.Outcome.APPLIED).count() == 20
