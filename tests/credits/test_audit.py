"""The audit finds each kind of damage, and nothing in sound books."""

from __future__ import annotations

import pytest

from credits import ledger
from credits.audit import audit
from credits.models import Account
from tests.credits.books import money, open_account, remove_the_triggers, run

BY_HAND = {"actor": "staff", "reason": "a mistake"}


@pytest.fixture
def books(alice: Account) -> Account:
    """A bit of everything: one hold captured in part and refunded in part, one released, one open."""
    ledger.hold(alice, 40, reference="captured")
    ledger.capture("captured", 30)
    ledger.refund("captured", 5, key="sorry", **BY_HAND)
    ledger.hold(alice, 20, reference="released")
    ledger.release("released")
    ledger.hold(alice, 10, reference="open")
    ledger.adjust(open_account("bob", credits=50), -7, key="fix", **BY_HAND)
    return alice


@pytest.mark.django_db
def test_empty_books_are_clean() -> None:
    assert audit().clean
    assert audit().sums == {"customers": 0, "treasury": 0, "revenue": 0}


def test_sound_books_are_clean(books: Account) -> None:
    """D5."""
    report = audit()

    assert report.findings == []
    assert (report.accounts, report.holds, report.entries) == (2, 3, 9)
    assert report.sums == {"customers": 118, "treasury": -143, "revenue": 25}


DAMAGE = {
    "a balance is written past the ledger": (
        {"balance", "zero-sum"},
        "UPDATE credits_account SET balance = balance + 1 WHERE held > 0",
    ),
    "what is held is written past the ledger": (
        {"balance", "holds"},
        "UPDATE credits_account SET held = held + 1 WHERE held > 0",
    ),
    "credits move from one customer to another": (
        {"balance"},
        "UPDATE credits_account SET balance = CASE WHEN held > 0 THEN balance - 1 ELSE balance + 1 END",
    ),
    "a grant is changed": (
        {"balance", "zero-sum"},
        "UPDATE credits_entry SET balance_change = 99 WHERE kind = 'grant' AND balance_change = 100",
    ),
    "a grant is deleted": (
        {"balance", "zero-sum"},
        "DELETE FROM credits_entry WHERE kind = 'grant' AND balance_change = 100",
    ),
    "an entry changes hands": (
        {"balance", "settlement"},
        """UPDATE credits_entry SET account_id = (SELECT max(id) FROM credits_account)
            WHERE kind = 'hold' AND hold_id = (SELECT id FROM credits_hold WHERE reference = 'open')""",
    ),
    "the price of an open hold is changed": (
        {"holds", "settlement"},
        "UPDATE credits_hold SET amount = 9 WHERE reference = 'open'",
    ),
    "the price of a settled hold is changed": (
        {"settlement"},
        "UPDATE credits_hold SET amount = 41, released = 11 WHERE reference = 'captured'",
    ),
    "less is captured than was taken": (
        {"settlement"},
        "UPDATE credits_hold SET captured = 20, released = 20 WHERE reference = 'captured'",
    ),
    "a refund is forgotten": ({"settlement"}, "UPDATE credits_hold SET refunded = 0 WHERE reference = 'captured'"),
    "a refund is made up": ({"settlement"}, "UPDATE credits_hold SET refunded = 6 WHERE reference = 'captured'"),
    "a hold ends without an entry": (
        {"holds", "settlement"},
        "UPDATE credits_hold SET settled_at = opened_at, released = 10 WHERE reference = 'open'",
    ),
    "a hold is reopened": (
        {"holds", "settlement"},
        "UPDATE credits_hold SET settled_at = NULL, released = 0 WHERE reference = 'released'",
    ),
    "a hold has no opening": (
        {"balance", "settlement"},
        """DELETE FROM credits_entry
            WHERE kind = 'hold' AND hold_id = (SELECT id FROM credits_hold WHERE reference = 'open')""",
    ),
    "a settlement is deleted": (
        {"balance", "settlement"},
        """DELETE FROM credits_entry
            WHERE kind = 'release' AND hold_id = (SELECT id FROM credits_hold WHERE reference = 'released')""",
    ),
    "a settlement leaves something aside": (
        {"balance", "settlement"},
        "UPDATE credits_entry SET held_change = -19 WHERE kind = 'release'",
    ),
    "a hold is settled twice": (
        {"balance", "settlement"},
        """INSERT INTO credits_entry
            (account_id, kind, balance_change, held_change, counter_side, hold_id, actor, reason, created_at)
            SELECT account_id, kind, balance_change, held_change, counter_side, hold_id, actor, reason, created_at
            FROM credits_entry
            WHERE kind = 'release' AND hold_id = (SELECT id FROM credits_hold WHERE reference = 'released')""",
    ),
}


@pytest.mark.parametrize("rules, damage", DAMAGE.values(), ids=DAMAGE)
def test_the_audit_finds_that(books: Account, rules: set[str], damage: str) -> None:
    """D5: with every guard of the database down."""
    _lower_the_guards()
    run(damage)

    report = audit()

    assert {finding.rule for finding in report.findings} == rules
    assert not report.clean


def test_a_finding_says_which_and_by_how_much(books: Account) -> None:
    run("UPDATE credits_account SET balance = balance + 1 WHERE held > 0")

    assert str(audit().findings[0]) == "balance: alice: has 76/10, entries say 75/10"
    assert money(books) == (76, 10)


@pytest.mark.django_db(transaction=True)
def test_the_audit_changes_nothing() -> None:
    """On PostgreSQL its transaction is read-only; afterwards the connection writes again."""
    alice = open_account("alice", credits=100)

    assert audit().clean

    ledger.hold(alice, 30, reference="fox")
    assert audit().holds == 1


def _lower_the_guards() -> None:
    remove_the_triggers()
    run("DROP INDEX credits_hold_settles_once")
