"""The ledger's commands of `manage.py`."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from credits.models import Account
from tests.credits.tables import assert_refused, balance_and_held, open_account
from tests.helpers.database_guards import execute
from tests.services.processes import Processes


def output_of(*command: str) -> str:
    out = io.StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def test_grant_credits_prints_the_new_balance(alice: Account) -> None:
    assert output_of("grant_credits", "alice", "50") == "alice has 150 credits, 150 available.\n"


def test_grant_credits_records_the_reason(alice: Account) -> None:
    output_of("grant_credits", "alice", "50", "--reason", "for the fair")

    entry = alice.entries.newest_first()[0]
    assert (entry.kind, entry.balance_change) == ("grant", 50)
    assert (entry.reason, entry.actor) == ("for the fair", "command line")


def test_grant_credits_opens_an_account(bob: Account) -> None:
    bob.delete()

    assert output_of("grant_credits", "bob", "5") == "bob has 5 credits, 5 available.\n"


def test_grant_credits_without_a_key_counts_each_time(alice: Account) -> None:
    output_of("grant_credits", "alice", "50")
    output_of("grant_credits", "alice", "50")

    assert balance_and_held(alice) == (200, 0)


def test_grant_credits_with_a_key_counts_once(alice: Account) -> None:
    output_of("grant_credits", "alice", "50", "--key", "march")
    output_of("grant_credits", "alice", "50", "--key", "march")

    assert balance_and_held(alice) == (150, 0)


def test_grant_credits_refuses_wrong_arguments(alice: Account) -> None:
    output_of("grant_credits", "alice", "5", "--key", "march")

    for arguments, error in (
        (["mallory", "5"], "There is no user “mallory”"),
        (["alice", "many"], "invalid int value"),
        (["alice", "0"], "is not a whole number of credits"),
        (["alice", "-5"], "is not a whole number of credits"),
        (["alice", "2147483648"], "is not a whole number of credits"),
        (["alice", "5", "--key", "x" * 100], "A key has 1 to 100 characters"),
        (["alice", "6", "--key", "march"], "was already used for a different entry"),
        (["alice"], "the following arguments are required"),
    ):
        with assert_refused(CommandError, match=error):
            output_of("grant_credits", *arguments)


def test_audit_ledger_reports_a_clean_ledger(alice: Account) -> None:
    assert output_of("audit_ledger") == (
        "Accounts: 1, holds: 0, entries: 1; customers +100, treasury -100, revenue +0.\nThe ledger is clean.\n"
    )


def test_audit_ledger_reports_findings(alice: Account) -> None:
    execute("UPDATE credits_account SET balance = 101")

    with pytest.raises(CommandError, match="The ledger is wrong:\nbalance: alice: has 101/0") as refusal:
        output_of("audit_ledger")

    assert refusal.value.returncode == 1


def test_audit_ledger_exits_with_1_if_it_has_findings(limn: Processes) -> None:
    open_account("alice", credits=100)
    execute("UPDATE credits_account SET balance = 101")

    assert limn("audit_ledger").wait() == 1
