"""Every way in which fal fails, as a sentence for the person who ordered."""

from __future__ import annotations

from typing import Any

import pytest

from generations.fal.errors import reason_from
from generations.fal.messages import MESSAGES, message_for
from simulator.error_types import ERRORS, failure

pytestmark = pytest.mark.once


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_of_fals_is_a_message_for(kind: str) -> None:
    told = reason_from(failure(kind).body, status=ERRORS[kind].status).message

    # A cancellation is told by who asked for it.
    assert told.endswith(".") or kind == "client_cancelled"
    assert "{" not in told


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("context", [None, {}, {"max_size": "<b>free</b>"}, {"expected": ["<script>"]}, [1]])
def test_a_limit_that_cannot_be_told_is_left_out(kind: str, context: Any) -> None:
    told = message_for(kind, context)

    assert told.endswith(".")
    assert not {"{", "<"} & set(told)


def test_fals_limits_are_told() -> None:
    assert message_for("file_too_large", {"max_size": 10_485_760}) == (
        "The file is too large; the model takes at most 10,485,760 bytes."
    )
    assert message_for("one_of", {"expected": ["1K", "2K"]}) == "A value is not one of those allowed: 1K, 2K."


@pytest.mark.parametrize(
    "kind, context, told",
    [
        ("one_of", {"expected": ["auto", "16:9", "square_hd"]}, "not one of those allowed: auto, 16:9, square_hd."),
        ("unsupported_image_format", {"supported_formats": ["image/png", ".webp"]}, "it takes image/png, .webp."),
        ("file_too_large", {"max_size": 1048576.0}, "at most 1,048,576 bytes."),
        ("greater_than", {"gt": 0.5}, "greater than 0.5."),
    ],
)
def test_a_limit_is_told_as_it_is(kind: str, context: dict[str, Any], told: str) -> None:
    assert message_for(kind, context).endswith(told)


@pytest.mark.parametrize("expected", [["auto", "<b>all</b>"], ["auto", {"a": 1}], [f"word{n}" for n in range(40)], []])
def test_of_a_list_that_cannot_be_told_whole_nothing_is_told(expected: list[Any]) -> None:
    assert message_for("one_of", {"expected": expected}) == "A value is not one of those allowed."


def test_a_type_that_nobody_knows_has_no_message_for() -> None:
    assert message_for("phase_of_the_moon", {}) == ""
