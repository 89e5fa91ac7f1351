"""fal's keys under load: rotated, slow or away, while true and forged callbacks arrive. Case ids: group B."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.test import Client

from generations.fal.keys import KEY_LIFETIME_SECONDS, REFETCH_SECONDS, REFRESH_AHEAD_SECONDS, KeySet, KeysUnavailable
from generations.models import Generation, Phase, Submission
from generations.provider import clients
from simulator import Simulator
from simulator.signing import KeyName
from tests.fixtures.callbacks import SubmitMany
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.threads import at_once
from tests.services.waiting import until

FORGERIES = 1_000
Letter = tuple[UUID, str, bytes, dict[str, str]]


class Clock:
    """Our own, and it stands still."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(fal: Simulator, clock: Clock) -> KeySet:
    """With the keys of today, a minute ago."""
    keys = KeySet(url=fal.environment()["FAL_JWKS_URL"], clock=clock)
    keys.current()
    clock.now += REFETCH_SECONDS
    return keys


@pytest.fixture
def slow_fetch(fal: Simulator, keys: KeySet) -> Iterator[threading.Thread]:
    """Another thread fetches the keys, and the key page takes its time."""
    fal.jwks_mode("slow")
    before = fal.jwks_fetches
    thread = threading.Thread(target=keys.refetch)
    thread.start()
    until(lambda: fal.jwks_fetches > before, what="the fetch to begin")
    yield thread
    thread.join()


@pytest.mark.once
def test_b29_a_slow_key_page_holds_up_nobody_whose_key_is_known(keys: KeySet, slow_fetch: threading.Thread) -> None:
    known = keys.current()

    assert slow_fetch.is_alive()
    assert len(known) > 0


@pytest.mark.once
def test_b28_who_comes_during_the_fetch_is_neither_believed_nor_refused(
    keys: KeySet, slow_fetch: threading.Thread
) -> None:
    with pytest.raises(KeysUnavailable, match="being fetched"):
        keys.newer_than(keys.current())

    assert slow_fetch.is_alive()


@pytest.mark.once
def test_b28_who_tried_the_old_keys_while_another_fetched_tries_the_new_ones(fal: Simulator, keys: KeySet) -> None:
    """He read the old keys before the other's fetch, and comes back after it: within the minute."""
    old = keys.current()
    fal.rotate_keys()
    keys.refetch()

    assert keys.newer_than(old) == keys.current() != old
    assert fal.jwks_fetches == 2


@pytest.mark.once
def test_b32_keys_are_fetched_anew_before_their_day_is_over(fal: Simulator, keys: KeySet, clock: Clock) -> None:
    known = keys.current()
    clock.now += KEY_LIFETIME_SECONDS - REFRESH_AHEAD_SECONDS
    fal.jwks_mode("down")

    assert keys.current() is known
    assert fal.jwks_fetches == 2


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_b28_a_rotation_under_a_flood_of_forgeries_refuses_no_true_callback(
    submit_many: SubmitMany, fal: Simulator, callbacks: CallbackSender
) -> None:
    attempts = submit_many(16)
    callbacks.post(*letter(callbacks, attempts[0], key="unknown"))
    fal.rotate_keys(keep_previous=False)
    clients.keys()._tried_at = None  # A minute has passed.
    true, forged = [letter(callbacks, attempt) for attempt in attempts], letter(callbacks, attempts[0], key="unknown")

    heard = at_once(8, lambda number: flood(fal, forged, true[2 * number : 2 * number + 2]))

    assert {status for _, false in heard for status in false} <= {401, 503}
    assert {status for told, _ in heard for status in told} <= {200, 503}
    assert fal.jwks_fetches == 2
    assert [callbacks.post(*again) for again in true] == [200] * 16
    assert Generation.objects.filter(phase=Phase.STORING).count() == 16


def letter(callbacks: CallbackSender, attempt: Submission, *, key: KeyName = "current") -> Letter:
    body = callbacks.fal.callback_body(str(attempt.request_id))
    headers = callbacks.fal.sign(body, request_id=str(attempt.request_id), key=key)
    return attempt.pk, attempt.token, body, headers


def flood(fal: Simulator, forged: Letter, true: list[Letter]) -> tuple[list[int], list[int]]:
    """What the true ones heard, and what the forgeries before, between and after them."""
    callbacks = CallbackSender(fal=fal, client=Client())
    each = FORGERIES // 8 // (len(true) + 1)
    false = [callbacks.post(*forged) for _ in range(each)]
    told = []
    for one in true:
        told.append(callbacks.post(*one))
        false += [callbacks.post(*forged) for _ in range(each)]
    return told, false
