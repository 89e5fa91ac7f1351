"""fal's public keys: rotated, expired, slow or unavailable, while genuine and forged callbacks arrive.

Case ids: docs/failure-modes.md, group B.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.test import Client

from generations.fal.keys import KeySet, KeysUnavailable
from generations.models import Generation, Phase, Submission
from generations.provider import clients
from simulator import Simulator
from simulator.signing import KeyName
from tests.fixtures.callbacks import SubmitMany
from tests.generations.callbacks.key_clock import KeyClock
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.threads import at_once
from tests.services.waiting import until

FORGERIES = 1_000
JWKS_FAULTS = ("down", "garbage", "empty", "huge")

# --- The callback view ---


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keep_previous", [True, False])
def test_b28_new_keys_are_fetched_if_no_key_fits(
    keep_previous: bool, callbacks: CallbackSender, key_clock: KeyClock, fal: Simulator, submitted: Submission
) -> None:
    callbacks.send(submitted, b"{}")
    fal.rotate_keys(keep_previous=keep_previous)
    key_clock.allow_refetch()

    assert callbacks.send(submitted) == 200


@pytest.mark.django_db(transaction=True)
def test_b28_a_flood_of_forgeries_fetches_the_keys_once(
    callbacks: CallbackSender, key_clock: KeyClock, fal: Simulator, submitted: Submission
) -> None:
    answers = {callbacks.send(submitted, key="unknown") for _ in range(50)}

    assert answers == {401}
    assert fal.jwks_fetches == 1


@pytest.mark.django_db(transaction=True)
def test_b29_fetched_keys_are_used_while_the_key_page_is_out_of_order(
    callbacks: CallbackSender, key_clock: KeyClock, fal: Simulator, submitted: Submission
) -> None:
    callbacks.send(submitted, b"{}")
    for mode in JWKS_FAULTS:
        fal.jwks_mode(mode)
        key_clock.allow_refetch()

        assert callbacks.send(submitted, key="unknown") == 401
        assert callbacks.send(submitted) == 200


@pytest.mark.django_db(transaction=True)
def test_b30_without_any_key_the_callback_is_answered_with_503(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    """fal sends it again."""
    for mode in JWKS_FAULTS:
        clients.close()  # Forgets the keys.
        fal.jwks_mode(mode)

        assert callbacks.send(submitted) == 503


@pytest.mark.django_db(transaction=True)
def test_b31_keys_with_base64_padding_are_read(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    fal.jwks_mode("padded")

    assert callbacks.send(submitted) == 200


@pytest.mark.django_db(transaction=True)
def test_b32_keys_are_not_used_after_a_day(
    callbacks: CallbackSender, key_clock: KeyClock, fal: Simulator, submitted: Submission
) -> None:
    callbacks.send(submitted, b"{}")
    key_clock.reach_expiry()
    fal.jwks_mode("down")

    assert callbacks.send(submitted) == 503


# --- One fetch at a time ---


@pytest.fixture
def keys(fal: Simulator) -> KeySet:
    """A set whose keys were fetched a minute ago, so that it may fetch them again."""
    clock = KeyClock()
    keys = KeySet(url=fal.environment()["FAL_JWKS_URL"], clock=clock)
    keys.current()
    clock.allow_refetch()
    return keys


@pytest.fixture
def slow_fetch(fal: Simulator, keys: KeySet) -> Iterator[threading.Thread]:
    """Another thread fetches the keys from a page that is slow."""
    fal.jwks_mode("slow")
    before = fal.jwks_fetches
    thread = threading.Thread(target=keys.refetch)
    thread.start()
    until(lambda: fal.jwks_fetches > before, what="the fetch to begin")
    yield thread
    thread.join()


@pytest.mark.once
def test_b29_known_keys_are_returned_without_waiting_for_a_slow_fetch(
    keys: KeySet, slow_fetch: threading.Thread
) -> None:
    known = keys.current()

    assert slow_fetch.is_alive()
    assert len(known) > 0


@pytest.mark.once
def test_b28_a_callback_with_an_unknown_key_is_not_decided_during_a_fetch(
    keys: KeySet, slow_fetch: threading.Thread
) -> None:
    with pytest.raises(KeysUnavailable, match="being fetched"):
        keys.newer_than(keys.current())

    assert slow_fetch.is_alive()


@pytest.mark.once
def test_b28_keys_that_another_thread_has_just_fetched_are_tried_without_a_fetch(fal: Simulator, keys: KeySet) -> None:
    """The callback was verified with the old keys before that fetch; within a minute there is no second one."""
    old = keys.current()
    fal.rotate_keys()
    keys.refetch()

    assert keys.newer_than(old) == keys.current() != old
    assert fal.jwks_fetches == 2


@pytest.mark.once
def test_b32_keys_are_fetched_again_before_they_expire(fal: Simulator, keys: KeySet) -> None:
    known = keys.current()
    assert isinstance(keys.clock, KeyClock)
    keys.clock.reach_refresh()
    fal.jwks_mode("down")

    assert keys.current() is known
    assert fal.jwks_fetches == 2


# --- A rotation under load ---

Request = tuple[UUID, str, bytes, dict[str, str]]
"""The id and the token of a submission, and the body and the headers of a callback."""


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_b28_a_rotation_during_a_flood_of_forgeries_rejects_no_genuine_callback(
    submit_many: SubmitMany, fal: Simulator, callbacks: CallbackSender, key_clock: KeyClock
) -> None:
    submissions = submit_many(16)
    callbacks.post(*signed_request(callbacks, submissions[0], key="unknown"))
    fal.rotate_keys(keep_previous=False)
    key_clock.allow_refetch()
    genuine = [signed_request(callbacks, submission) for submission in submissions]
    forged = signed_request(callbacks, submissions[0], key="unknown")

    answers = at_once(8, lambda number: send_among_forgeries(fal, genuine[2 * number : 2 * number + 2], forged))

    assert {status for _, to_forged in answers for status in to_forged} <= {401, 503}
    assert {status for to_genuine, _ in answers for status in to_genuine} <= {200, 503}
    assert fal.jwks_fetches == 2
    assert [callbacks.post(*repeated) for repeated in genuine] == [200] * 16
    assert Generation.objects.filter(phase=Phase.STORING).count() == 16


def signed_request(callbacks: CallbackSender, submission: Submission, *, key: KeyName = "current") -> Request:
    body, headers = callbacks.signed(submission, key=key)
    return submission.pk, submission.token, body, headers


def send_among_forgeries(fal: Simulator, genuine: list[Request], forged: Request) -> tuple[list[int], list[int]]:
    """Sends genuine callbacks, with forgeries before, between and after them. Returns the statuses of both."""
    callbacks = CallbackSender(fal=fal, client=Client())
    each = FORGERIES // 8 // (len(genuine) + 1)
    to_forged = [callbacks.post(*forged) for _ in range(each)]
    to_genuine = []
    for request in genuine:
        to_genuine.append(callbacks.post(*request))
        to_forged += [callbacks.post(*forged) for _ in range(each)]
    return to_genuine, to_forged
