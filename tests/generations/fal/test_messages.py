"""Every failure of fal has a message for the customer, which shows no foreign text."""

from __future__ import annotations

from typing import Any

import pytest

from generations.fal.errors import reason_from
from generations.fal.messages import MESSAGES, message_for
from simulator.error_types import ERRORS, failure

pytestmark = pytest.mark.once


def test_every_error_type_has_a_message() -> None:
    messages = {kind: reason_from(failure(kind).body, status=error.status).message for kind, error in ERRORS.items()}

    # The message of a cancellation depends on who asked for it, which fal does not know.
    assert messages.pop("client_cancelled") == ""
    assert [kind for kind, message in messages.items() if not message.endswith(".") or "{" in message] == []


def test_a_limit_that_cannot_be_shown_is_left_out() -> None:
    contexts: list[Any] = [None, {}, {"max_size": "<b>free</b>"}, {"expected": ["<script>"]}, [1]]

    for kind in MESSAGES:
        for context in contexts:
            message = message_for(kind, context)
            assert message.endswith(".")
            assert not {"{", "<"} & set(message), (kind, context)


def test_the_limits_that_fal_names_are_shown() -> None:
    expected: list[tuple[str, dict[str, Any], str]] = [
        ("file_too_large", {"max_size": 10_485_760}, "the model takes at most 10,485,760 bytes."),
        ("file_too_large", {"max_size": 1048576.0}, "the model takes at most 1,048,576 bytes."),
        ("one_of", {"expected": ["auto", "16:9", "square_hd"]}, "not one of those allowed: auto, 16:9, square_hd."),
        ("unsupported_image_format", {"supported_formats": ["image/png", ".webp"]}, "it takes image/png, .webp."),
        ("greater_than", {"gt": 0.5}, "greater than 0.5."),
    ]

    for kind, context, end in expected:
        assert message_for(kind, context).endswith(end)


def test_a_list_is_shown_as_a_whole_or_not_at_all() -> None:
    lists: list[list[Any]] = [["auto", "<b>all</b>"], ["auto", {"a": 1}], [f"word{n}" for n in range(40)], []]

    for expected in lists:
        assert message_for("one_of", {"expected": expected}) == "A value is not one of those allowed."


def test_an_unknown_error_type_has_no_message() -> None:
    assert message_for("phase_of_the_moon", {}) == ""
