"""The JWKS endpoint, and each of its faults."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from simulator import Simulator
from tests.simulator.queue_client import get

MODES: dict[str, Callable[[httpx.Response], bool]] = {
    "ok": lambda response: len(response.json()["keys"][0]["x"]) == 43,
    "down": lambda response: response.status_code == 503,
    "garbage": lambda response: "<html>" in response.text,
    "empty": lambda response: response.json() == {"keys": []},
    "padded": lambda response: response.json()["keys"][0]["x"].endswith("="),
    "huge": lambda response: len(response.content) > 10_000_000,
}


def test_each_mode_answers_in_its_own_way(fal: Simulator) -> None:
    for count, (mode, is_expected) in enumerate(MODES.items(), start=1):
        fal.jwks_mode(mode)

        response = get(fal.environment()["FAL_JWKS_URL"])

        assert is_expected(response), mode
        assert fal.jwks_fetches == count


def test_the_slow_mode_never_answers(fal: Simulator) -> None:
    fal.jwks_mode("slow")

    with pytest.raises(httpx.ReadTimeout):
        get(fal.environment()["FAL_JWKS_URL"], timeout=0.2)
