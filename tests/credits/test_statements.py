"""The statements of the ledger write the same rows as the ORM would."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.db.models import F, Sum, Window

from credits import ledger
from credits.audit import audit
from credits.models import Account, Entry, Hold
from tests.credits.unsafe_ledger import UnsafeLedger

pytestmark = pytest.mark.django_db
# Times and keys differ; `available_after` has a test of its own, because the ledger of the races does not write it.
DIFFERING = {"id", "account_id", "hold_id", "reference", "opened_at", "settled_at", "created_at", "available_after"}


def rows_of(account: Account) -> list[dict[str, Any]]:
    tables = (account.holds.order_by("pk"), account.entries.exclude(kind="grant").order_by("pk"))
    rows = [row for table in tables for row in table.values()]
    return [{name: value for name, value in row.items() if name not in DIFFERING} for row in rows]


@pytest.mark.parametrize("amount", [30, 0])
@pytest.mark.parametrize("kind", ["hold", "capture", "release"])
def test_they_write_what_the_orm_writes(alice: Account, bob: Account, kind: str, amount: int) -> None:
    by_orm = UnsafeLedger(racers=1)
    ledger.adjust(bob, 100, key="as much as alice", actor="test", reason="test")
    by_orm.hold(bob, amount, reference="bob's")
    ledger.hold(alice, amount, reference="alice's")
    if kind != "hold":
        by_orm.settle("bob's", kind)
        getattr(ledger, kind)("alice's")

    assert rows_of(alice) == [row for row in rows_of(bob) if row.get("kind") != "adjust"]


def test_every_entry_shows_the_running_balance(alice: Account) -> None:
    ledger.hold_all(alice, {"one": 10, "two": 20, "three": 0})
    ledger.capture("two", 5)
    ledger.release("one")
    ledger.refund("two", 3, key="sorry", actor="staff", reason="a mistake")

    running = Window(Sum(F("balance_change") - F("held_change")), partition_by=F("account"), order_by=F("id").asc())

    assert list(Entry.objects.values_list("available_after", flat=True).order_by("pk")) == list(
        Entry.objects.annotate(running=running).values_list("running", flat=True).order_by("pk")
    )


def test_several_holds_are_released_as_each_alone(alice: Account, bob: Account) -> None:
    amounts = {"one": 10, "two": 20, "free": 0, "kept": 5}
    ledger.grant(bob, 100, key="as much as alice", actor="test")
    for account, name in ((alice, "alice"), (bob, "bob")):
        ledger.hold_all(account, {f"{name}: {reference}": amount for reference, amount in amounts.items()})
    for reference in ("one", "two", "free"):
        ledger.release(f"bob: {reference}")

    ledger.release_all(["alice: one", "alice: two", "alice: free"])

    assert rows_of(alice) == rows_of(bob)
    shown = [list(each.entries.order_by("pk").values_list("available_after", flat=True)) for each in (alice, bob)]
    assert shown[0] == shown[1] == [100, 90, 70, 70, 65, 75, 95, 95]
    alice.refresh_from_db()
    assert (alice.held, alice.balance) == (5, 100)
    assert audit().clean


@pytest.mark.parametrize("state", ["released", "captured", "never opened"])
def test_several_holds_are_released_together_or_not_at_all(alice: Account, state: str) -> None:
    ledger.hold_all(alice, {"one": 10} if state == "never opened" else {"one": 10, "two": 20})
    if state != "never opened":
        {"released": ledger.release, "captured": ledger.capture}[state]("two")
    before = rows_of(alice)

    with pytest.raises(ledger.NotOpen, match="One of one, two has no open hold"), transaction.atomic():
        ledger.release_all(["one", "two"])

    assert rows_of(alice) == before


def test_holds_of_several_references_are_opened_together_or_not_at_all(alice: Account) -> None:
    with pytest.raises(ledger.InsufficientCredits, match="costs 101 credits and 100 are available"):
        ledger.hold_all(alice, {"one": 100, "two": 1})

    assert not Hold.objects.exists()
    alice.refresh_from_db()
    assert alice.held == 0
