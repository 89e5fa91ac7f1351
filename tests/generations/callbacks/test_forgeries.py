"""Forged callbacks, and tokens of other submissions. Case ids: docs/failure-modes.md, group B."""

from __future__ import annotations

import cProfile
import random
from collections import Counter
from uuid import uuid4

import pytest
from django.test import RequestFactory

from generations.callbacks.views import fal_callback
from generations.models import Generation, Phase, ProviderCallback, Submission
from simulator import Simulator
from simulator.signing import KeyName
from tests.fixtures.callbacks import SubmitMany
from tests.helpers.callback_sender import CallbackSender

FORGERIES = 10_000
BODY = b'{"request_id": "ours", "status": "OK", "payload": {"images": [{"url": "https://v3.fal.media/a.png"}]}}'
NAMES = ("Request-Id", "User-Id", "Timestamp", "Signature", "body")
Letter = tuple[dict[str, str], bytes]


def post(headers: dict[str, str], body: bytes) -> int:
    """To the view itself: no session, no database, nothing else that would cost time."""
    request = RequestFactory().post("/hooks/fal", body, content_type="application/json", headers=headers)
    return fal_callback(request, submission_id=uuid4(), token="guessed").status_code


def forged(chance: random.Random, headers: dict[str, str], body: bytes) -> Letter:
    """The true letter with one part spoiled."""
    part = chance.choice(NAMES)
    if part == "body":
        return headers, spoiled(chance, body)
    name = f"X-Fal-Webhook-{part}"
    value = spoiled(chance, headers[name].encode()).decode("latin-1")
    # The same 64 bytes in capital letters are the same signature.
    value += "0" * (value.lower() == headers[name])
    return {**headers, name: value}, body


def spoiled(chance: random.Random, text: bytes) -> bytes:
    """A bit flipped, something missing, something added, twice, or nothing at all."""
    at = chance.randrange(len(text))
    flipped = bytes([text[at] ^ 1 << chance.randrange(8)])
    ways = (text[:at] + flipped + text[at + 1 :], text[:at], text[:at] + b"0" + text[at:], text * 2, b"", b" " + text)
    way = chance.choice(ways)
    return way if way != text else text + b"\x00"


@pytest.mark.once
def test_b2_ten_thousand_forgeries_are_refused_without_a_look_at_the_database(fal: Simulator) -> None:
    """This test may not use the database: a single query would raise."""
    chance = random.Random(2)
    headers = fal.sign(BODY, request_id="ours")

    answers = Counter(post(*forged(chance, headers, BODY)) for _ in range(FORGERIES))

    assert answers == {401: FORGERIES}
    assert fal.jwks_fetches == 1


@pytest.mark.once
@pytest.mark.parametrize("name", ["request_id", "user_id"])
@pytest.mark.parametrize("value", ["x" * 101, "line\nbreak", "ümlaut", "nul\x00"])
def test_b2_a_truly_signed_header_that_no_table_can_hold_is_refused(name: str, value: str, fal: Simulator) -> None:
    headers = {**fal.sign(BODY, request_id="ours"), f"X-Fal-Webhook-{name.title().replace('_', '-')}": value}

    assert post(headers, BODY) == 401


@pytest.mark.once
@pytest.mark.parametrize("length, answer", [("-1", 413), ("1e3", 413), ("9" * 5000, 413), ("²", 413), ("", 401)])
def test_b22_a_length_that_is_no_length_is_refused(length: str, answer: int, fal: Simulator) -> None:
    headers = {**fal.sign(b"another body", request_id="ours"), "Content-Length": length}

    assert post(headers, b"") == answer


@pytest.mark.django_db(transaction=True)
def test_b5_everybodys_token_at_everybodys_door_opens_only_ones_own(
    submit_many: SubmitMany, callbacks: CallbackSender
) -> None:
    """20 × 20, each truly signed for our account; the diagonal comes last."""
    attempts = submit_many(20)
    letters = [(callbacks.fal.callback_body(callbacks.request_id(attempt)), attempt) for attempt in attempts]

    wrong = Counter(
        callbacks.post(door.pk, owner.token, body, callbacks.fal.sign(body, request_id=str(owner.request_id)))
        for body, owner in letters
        for door in attempts
        if door != owner
    )

    assert wrong == {404: 380}
    assert Generation.objects.filter(phase=Phase.WAITING).count() == 20
    assert [callbacks.send(owner, body) for body, owner in letters] == [200] * 20
    assert ProviderCallback.objects.filter(outcome=ProviderCallback.Outcome.APPLIED).count() == 20


@pytest.mark.django_db(transaction=True)
def test_b40_a_forgery_costs_a_fraction_of_a_true_callback(submit_many: SubmitMany, callbacks: CallbackSender) -> None:
    """A well-formed forgery for our account is the most expensive one. The cost is the number of function calls."""
    attempts = submit_many(40)
    warm_up, false, true = attempts[:2], attempts[2:20], attempts[20:38]
    for attempt in warm_up:
        callbacks.send(attempt)
    # The first one of a minute makes us look whether fal has a new key; that is not what each costs.
    callbacks.send(warm_up[0], key="unknown")

    forgery = calls_each(callbacks, false, key="unknown", answer=401)

    assert forgery < calls_each(callbacks, true, key="current", answer=200) / 2


def calls_each(callbacks: CallbackSender, attempts: list[Submission], *, key: KeyName, answer: int) -> float:
    """How many functions Limn calls for each of these callbacks."""
    letters = [(attempt, callbacks.fal.callback_body(str(attempt.request_id))) for attempt in attempts]
    signed = [
        (attempt, body, callbacks.fal.sign(body, request_id=str(attempt.request_id), key=key))
        for attempt, body in letters
    ]
    with cProfile.Profile() as profile:
        answers = {callbacks.post(attempt.pk, attempt.token, body, headers) for attempt, body, headers in signed}
    assert answers == {answer}
    return sum(entry.callcount for entry in profile.getstats()) / len(attempts)
