"""Ids sort by creation time, by the database's clock. Queries for recent rows rely on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from database import clock
from database.ids import first_id, new_id, new_token
from tests.helpers.clocks import process_clock_ahead


@pytest.mark.once
def test_ids_sort_by_creation_time() -> None:
    ids = [new_id() for _ in range(1000)]

    assert ids == sorted(ids)
    assert {(id.version, id.variant) for id in ids} == {(7, "specified in RFC 4122")}


@pytest.mark.once
def test_the_first_id_of_a_moment_separates_earlier_from_later_ids() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=2)

    id = new_id()

    assert first_id(before) <= id < first_id(datetime.now(UTC) + timedelta(milliseconds=2))


@pytest.mark.only_postgresql
@pytest.mark.django_db
@pytest.mark.parametrize("hours", [-7, 7])
def test_ids_begin_with_the_time_of_the_database_whatever_the_process_has(hours: int) -> None:
    now = clock.now()

    with process_clock_ahead(timedelta(hours=hours)):
        id = new_id()

    assert first_id(now - timedelta(seconds=1)) <= id < first_id(now + timedelta(seconds=10))


def test_an_id_needs_no_database() -> None:
    """Without the mark that permits a connection."""
    assert new_id() < new_id()


@pytest.mark.once
def test_ids_sort_although_the_measured_time_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([timedelta(0), timedelta(milliseconds=-300), timedelta(milliseconds=1), timedelta(hours=-1)])
    start = clock.last_known() + timedelta(seconds=5)
    monkeypatch.setattr(clock, "last_known", lambda: start + next(moments))

    first, corrected, later, set_back = (new_id() for _ in range(4))

    assert first < corrected < later
    assert set_back < first_id(start - timedelta(minutes=59))


@pytest.mark.once
def test_tokens_are_long_and_random() -> None:
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {43}
