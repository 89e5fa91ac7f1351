"""The audit reports each kind of damage, and nothing in a sound ledger. Case D5 of docs/failure-modes.md."""

from __future__ import annotations

import pytest
from django.db import transaction

from credits import ledger
from credits.audit import audit
from credits.models import Account
from tests.credits.tables import BY_STAFF, drop_triggers, open_account
from tests.helpers.database_guards import execute


@pytest.fixture
def ledger_with_history(alice: Account) -> None:
    """One hold that is captured in part and refunded in part, one that is released, one that is open."""
    ledger.hold(alice, 40, reference="captured")
    ledger.capture("captured", 30)
    ledger.refund("captured", 5, key="sorry", **BY_STAFF)
    ledger.hold(alice, 20, reference="released")
    ledger.release("released")
    ledger.hold(alice, 10, reference="open")
    ledger.adjust(open_account("bob", credits=50), -7, key="fix", **BY_STAFF)


@pytest.mark.django_db
def test_an_empty_ledger_is_clean() -> None:
    assert audit().clean
    assert audit().sums == {"customers": 0, "treasury": 0, "revenue": 0}


@pytest.mark.usefixtures("ledger_with_history")
def test_a_sound_ledger_is_clean() -> None:
    report = audit()

    assert report.findings == []
    assert (report.accounts, report.holds, report.entries) == (2, 3, 9)
    assert report.sums == {"customers": 118, "treasury": -143, "revenue": 25}


# What is damaged: the rules that the audit then finds broken, and the statement that does the damage.
DAMAGE = {
    "a balance is written without an entry": (
        {"balance", "zero-sum"},
        "UPDATE credits_account SET balance = balance + 1 WHERE held > 0",
    ),
    "held credits are written without an entry": (
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
    "an entry is moved to another account": (
        {"balance", "settlement"},
        "UPDATE credits_entry SET account_id = (SELECT max(id) FROM credits_account) WHERE held_change = 10",
    ),
    "the amount of an open hold is changed": (
        {"holds", "settlement"},
        "UPDATE credits_hold SET amount = 9 WHERE reference = 'open'",
    ),
    "the amount of a settled hold is changed": (
        {"settlement"},
        "UPDATE credits_hold SET amount = 41, released = 11 WHERE reference = 'captured'",
    ),
    "a hold says less than its capture took": (
        {"settlement"},
        "UPDATE credits_hold SET captured = 20, released = 20 WHERE reference = 'captured'",
    ),
    "a hold does not know its refund": (
        {"settlement"},
        "UPDATE credits_hold SET refunded = 0 WHERE reference = 'captured'",
    ),
    "a hold says more than was refunded": (
        {"settlement"},
        "UPDATE credits_hold SET refunded = 6 WHERE reference = 'captured'",
    ),
    "a hold is settled without an entry": (
        {"holds", "settlement"},
        "UPDATE credits_hold SET settled_at = opened_at, released = 10 WHERE reference = 'open'",
    ),
    "a hold is opened again": (
        {"holds", "settlement"},
        "UPDATE credits_hold SET settled_at = NULL, released = 0 WHERE reference = 'released'",
    ),
    "the entry that opened a hold is deleted": (
        {"balance", "settlement"},
        "DELETE FROM credits_entry WHERE held_change = 10",
    ),
    "the entry that settled a hold is deleted": (
        {"balance", "settlement"},
        "DELETE FROM credits_entry WHERE kind = 'release'",
    ),
    "a settlement leaves credits held": (
        {"balance", "settlement"},
        "UPDATE credits_entry SET held_change = -19 WHERE kind = 'release'",
    ),
    "a hold is settled twice": (
        {"balance", "settlement"},
        """INSERT INTO credits_entry
            (account_id, kind, balance_change, held_change, counter_side, hold_id, actor, reason, available_after,
             created_at)
            SELECT account_id, kind, balance_change, held_change, counter_side, hold_id, actor, reason, available_after,
             created_at
            FROM credits_entry WHERE kind = 'release'""",
    ),
}


@pytest.mark.usefixtures("ledger_with_history")
def test_the_audit_reports_each_kind_of_damage() -> None:
    drop_triggers()
    execute("DROP INDEX credits_hold_settles_once")

    for name, (rules, statement) in DAMAGE.items():
        with transaction.atomic():
            execute(statement)
            report = audit()
            transaction.set_rollback(True)

        assert {finding.rule for finding in report.findings} == rules, name
        assert not report.clean
    assert audit().clean


@pytest.mark.usefixtures("ledger_with_history")
def test_a_finding_names_the_account_and_the_difference() -> None:
    execute("UPDATE credits_account SET balance = balance + 1 WHERE held > 0")

    assert str(audit().findings[0]) == "balance: alice: has 76/10, entries say 75/10"


@pytest.mark.django_db(transaction=True)
def test_the_connection_can_write_after_an_audit() -> None:
    """On PostgreSQL the audit's own transaction is read-only."""
    alice = open_account("alice", credits=100)

    assert audit().clean

    ledger.hold(alice, 30, reference="fox")
    assert audit().holds == 1
