"""Ids sort by creation time, which queries for recent rows rely on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from database.ids import first_id, new_id, new_token

pytestmark = pytest.mark.once


def test_ids_sort_by_creation_time() -> None:
    ids = [new_id() for _ in range(100)]

    assert ids == sorted(ids)
    assert {id.version for id in ids} == {7}


def test_the_first_id_of_a_moment_separates_earlier_from_later_ids() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=2)

    id = new_id()

    assert first_id(before) <= id < first_id(datetime.now(UTC) + timedelta(milliseconds=2))


def test_tokens_are_long_and_random() -> None:
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {43}
