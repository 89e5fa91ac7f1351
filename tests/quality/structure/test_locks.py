"""Every row lock is FOR NO KEY UPDATE, so rows that refer to a locked row can be inserted (decision 9)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PRODUCT = [
    path
    for package in ("accounts", "config", "credits", "database", "generations", "notifications", "operations")
    for path in sorted((ROOT / package).rglob("*.py"))
]
STRONGER_LOCKS = re.compile(
    r"select_for_update\((?!.*no_key=True)|\.update_or_create\(|\bFOR (?:UPDATE|SHARE)\b"  # By Django, and in SQL.
)


def stronger_locks(source: str) -> list[str]:
    """The locks in a source text that are not FOR NO KEY UPDATE."""
    return STRONGER_LOCKS.findall(source)


def test_every_row_lock_is_for_no_key_update() -> None:
    found = {str(path.relative_to(ROOT)): locks for path in PRODUCT if (locks := stronger_locks(path.read_text()))}

    assert found == {}


def test_every_fact_of_the_lifecycle_is_repeated() -> None:
    """Only the one that precedes a POST is not (`database.transactions`)."""
    sources = [path.read_text() for path in sorted((ROOT / "generations/lifecycle").glob("*.py"))]

    assert re.findall(r"@transaction\.atomic\ndef (\w+)", "\n".join(sources)) == ["submitting"]


@pytest.mark.parametrize(
    "source",
    [
        "Account.objects.select_for_update().get(pk=1)",
        "rows.select_for_update(skip_locked=True)",
        'f"SELECT 1 FROM t WHERE id = %s FOR UPDATE"',
        'f"{keys} FOR UPDATE OF t SKIP LOCKED"',
        "SELECT 1 FOR SHARE",
        "Retention.objects.update_or_create(account=account)",
    ],
)
def test_stronger_locks_are_found(source: str) -> None:
    assert stronger_locks(source)


@pytest.mark.parametrize(
    "source",
    [
        "Account.objects.select_for_update(no_key=True).get(pk=1)",
        'outputs.select_for_update(of=("self",), no_key=True)',
        '"SELECT 1 FOR NO KEY UPDATE OF generation, callback SKIP LOCKED"',
        "CREATE TRIGGER t BEFORE UPDATE OF status ON generation",
    ],
)
def test_the_lock_in_use_is_accepted(source: str) -> None:
    assert not stronger_locks(source)
