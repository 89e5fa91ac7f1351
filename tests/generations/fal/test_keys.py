"""fal's keys are cached for a day, and fetched at most once a minute."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from generations.fal.keys import KEY_LIFETIME_SECONDS, REFETCH_SECONDS, REFRESH_AHEAD_SECONDS, KeySet, KeysUnavailable
from simulator import Simulator

pytestmark = pytest.mark.once


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(fal: Simulator, clock: Clock) -> KeySet:
    return KeySet(url=fal.environment()["FAL_JWKS_URL"], clock=clock)


def test_the_keys_are_fetched_once_a_day(fal: Simulator, keys: KeySet, clock: Clock) -> None:
    first = keys.current()
    clock.now += KEY_LIFETIME_SECONDS - REFRESH_AHEAD_SECONDS - 1
    assert keys.current() == first
    assert fal.jwks_fetches == 1

    clock.now += 2
    keys.current()

    assert fal.jwks_fetches == 2


def test_the_keys_are_not_fetched_twice_within_a_minute(fal: Simulator, keys: KeySet, clock: Clock) -> None:
    keys.current()
    fal.rotate_keys()

    assert keys.refetch() is False
    clock.now += REFETCH_SECONDS
    assert keys.refetch() is True
    assert fal.jwks_fetches == 2


def test_a_refetch_of_the_same_keys_reports_no_change(keys: KeySet, clock: Clock) -> None:
    keys.current()
    clock.now += REFETCH_SECONDS

    assert keys.refetch() is False


@pytest.mark.parametrize("mode", ["down", "garbage", "empty", "huge"])
def test_known_keys_stay_valid_for_their_day_while_the_page_fails(
    mode: str, fal: Simulator, keys: KeySet, clock: Clock
) -> None:
    known = keys.current()
    fal.jwks_mode(mode)
    clock.now += REFETCH_SECONDS
    assert keys.refetch() is False
    assert keys.current() == known

    clock.now += KEY_LIFETIME_SECONDS

    with pytest.raises(KeysUnavailable):
        keys.current()


def test_an_unreachable_page_is_tried_once_a_minute(clock: Clock) -> None:
    keys = KeySet(url="http://127.0.0.1:9/jwks.json", clock=clock)

    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            keys.current()

    assert keys._tried_at == clock.now
