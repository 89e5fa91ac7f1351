"""The ledger on the command line."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from credits.models import Account
from tests.credits.books import assert_refused, money, open_account, run
from tests.services.processes import Processes


def said(*command: str) -> str:
    out = io.StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def test_a_grant_says_what_there_is_now(alice: Account) -> None:
    assert said("grant_credits", "alice", "50") == "alice has 150 credits, 150 available.\n"


def test_a_grant_is_written_down_with_its_reason(alice: Account) -> None:
    said("grant_credits", "alice", "50", "--reason", "for the fair")

    entry = alice.entries.newest_first()[0]
    assert (entry.kind, entry.balance_change, entry.reason, entry.actor) == (
        "grant",
        50,
        "for the fair",
        "command line",
    )


def test_a_grant_opens_an_account(bob: Account) -> None:
    bob.delete()

    assert said("grant_credits", "bob", "5") == "bob has 5 credits, 5 available.\n"


def test_a_grant_without_a_key_counts_each_time(alice: Account) -> None:
    said("grant_credits", "alice", "50")
    said("grant_credits", "alice", "50")

    assert money(alice) == (200, 0)


def test_a_grant_with_a_key_counts_once(alice: Account) -> None:
    said("grant_credits", "alice", "50", "--key", "march")
    said("grant_credits", "alice", "50", "--key", "march")

    assert money(alice) == (150, 0)


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["nobody", "5"], "There is no user “nobody”"),
        (["alice", "many"], "invalid int value"),
        (["alice", "0"], "is not a whole number of credits"),
        (["alice", "-5"], "is not a whole number of credits"),
        (["alice", "2147483648"], "is not a whole number of credits"),
        (["alice", "5", "--key", "x" * 100], "A key has 1 to 100 characters"),
        (["alice", "6", "--key", "march"], "stands for another posting"),
        (["alice"], "the following arguments are required"),
    ],
    ids=["user", "word", "zero", "negative", "huge", "long key", "used key", "missing"],
)
def test_a_wrong_grant_is_refused(alice: Account, arguments: list[str], why: str) -> None:
    said("grant_credits", "alice", "5", "--key", "march")

    with assert_refused(CommandError, match=why):
        said("grant_credits", *arguments)


def test_the_audit_says_that_all_is_well(alice: Account) -> None:
    assert said("audit_ledger") == (
        "1 accounts, 0 holds, 1 entries; customers +100, treasury -100, revenue +0.\nThe ledger is clean.\n"
    )


def test_the_audit_says_what_is_wrong(alice: Account) -> None:
    run("UPDATE credits_account SET balance = 101")

    with pytest.raises(CommandError, match="The ledger is wrong:\nbalance: alice: has 101/0") as refusal:
        said("audit_ledger")

    assert refusal.value.returncode == 1


def test_a_damaged_ledger_ends_the_audit_with_a_status_that_scripts_understand(limn: Processes) -> None:
    open_account("alice", credits=100)
    run("UPDATE credits_account SET balance = 101")

    assert limn("audit_ledger").wait() == 1
