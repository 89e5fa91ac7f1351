"""The rows by which lists are filtered by metadata always agree with the metadata of the generations."""

from __future__ import annotations

import pytest

from generations.models import Generation, MetadataEntry
from tests.fixtures.api import PlaceOrder

pytestmark = pytest.mark.django_db(transaction=True)


def entries_of(generation: Generation) -> set[tuple[int, str, str]]:
    return set(MetadataEntry.objects.filter(generation=generation).values_list("account", "key", "value"))


def test_each_key_of_an_order_has_a_row(order: PlaceOrder) -> None:
    marked, unmarked = order(metadata={"project": "x", "note": ""}), order()

    assert entries_of(marked) == {(marked.account_id, "project", "x"), (marked.account_id, "note", "")}
    assert entries_of(unmarked) == set()


def test_a_change_of_the_metadata_changes_the_rows_of_that_generation_only(order: PlaceOrder) -> None:
    changed, other = order(metadata={"project": "x", "note": "a"}), order(metadata={"project": "x"})

    Generation.objects.filter(pk=changed.pk).update(metadata={"project": "y"})

    assert entries_of(changed) == {(changed.account_id, "project", "y")}
    assert entries_of(other) == {(other.account_id, "project", "x")}


def test_erased_metadata_has_no_rows(order: PlaceOrder) -> None:
    generation = order(metadata={"project": "x"})

    Generation.objects.filter(pk=generation.pk).update(metadata={})

    assert not MetadataEntry.objects.exists()


def test_the_longest_metadata_has_rows(order: PlaceOrder) -> None:
    """An index of PostgreSQL takes a third of a page, and UTF-8 four bytes for a character."""
    longest = {"k" * 40: "\U0001f408" * 500}

    assert len(entries_of(order(metadata=longest))) == 1
