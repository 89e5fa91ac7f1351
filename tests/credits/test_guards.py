"""What the database refuses by itself, should the code above it ever forget."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from credits import ledger
from credits.models import CREDITS_MAX, Account, Entry, Hold
from tests.credits.books import assert_refused, put_the_triggers_back, remove_the_triggers, run


def _account(**wrong: int) -> Callable[[Account], object]:
    return lambda alice: Account.objects.filter(pk=alice.pk).update(**wrong)


def _hold(**wrong: object) -> Callable[[Account], object]:
    return lambda alice: Hold.objects.create(account=alice, reference="wrong", **{"amount": 5, **wrong})


def _settled(**wrong: object) -> Callable[[Account], object]:
    return _hold(settled_at=timezone.now(), **wrong)


def _entry(**wrong: object) -> Callable[[Account], object]:
    return lambda alice: Entry.objects.create(account=alice, **wrong)


def _posted(kind: str) -> Callable[[Account], object]:
    """A second entry of this kind for a hold that has one."""
    return lambda alice: Entry.objects.create(account=alice, hold=Hold.objects.get(reference="fox"), kind=kind)


WRONG = [
    ("credits_balance_not_negative", _account(balance=-1, held=-1)),
    ("credits_held_not_negative", _account(held=-1)),
    ("credits_held_within_balance", _account(held=101)),
    ("credits_hold_amount", _hold(amount=-1)),
    ("credits_hold_amount", _hold(amount=CREDITS_MAX + 1)),
    ("credits_hold_settles_in_full", _settled(captured=2, released=2)),
    ("credits_hold_settles_in_full", _settled(captured=6, released=-1)),
    ("credits_hold_settles_in_full", _settled(captured=-1, released=6, refunded=-1)),
    ("credits_hold_settles_in_full", _hold(captured=5)),
    ("credits_hold_settles_in_full", _hold(released=5)),
    ("credits_refund_within_capture", _settled(captured=2, released=3, refunded=3)),
    ("credits_refund_within_capture", _settled(captured=2, released=3, refunded=-1)),
    ("credits_hold_opens_once", _posted("hold")),
    ("credits_hold_settles_once", _posted("capture")),
    ("credits_hold_settles_once", _posted("release")),
    ("credits_change_has_two_sides", _entry(kind="grant", key="new", balance_change=5)),
    ("credits_entry_has_cause", _entry(kind="grant")),
    ("credits_entry_has_cause", _entry(kind="adjust")),
    ("credits_entry_has_cause", _entry(kind="refund", key="new")),
    ("credits_entry_has_cause", _entry(kind="hold")),
    ("credits_entry_has_cause", _entry(kind="capture", key="new")),
    ("credits_entry_has_cause", _entry(kind="gift", key="new")),
]


@pytest.mark.parametrize("name, write", WRONG, ids=[f"{name}-{n}" for n, (name, _) in enumerate(WRONG)])
def test_the_database_refuses(alice: Account, name: str, write: Callable[[Account], object]) -> None:
    """D1-D4, D11: each constraint by itself, written past the ledger."""
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox")

    with assert_refused(IntegrityError, match=_said(name)), transaction.atomic():
        write(alice)


def test_every_constraint_is_tried() -> None:
    declared = {constraint.name for table in (Account, Hold, Entry) for constraint in table._meta.constraints}

    assert declared == {name for name, _ in WRONG}


@pytest.mark.parametrize(
    "write",
    [
        lambda alice: Hold.objects.create(account=alice, amount=1, reference="fox"),
        lambda alice: Entry.objects.create(account=alice, kind="grant", key="first:alice"),
        lambda alice: Account.objects.create(user=alice.user),
    ],
    ids=["reference", "key", "user"],
)
def test_what_is_unique_is_so_in_the_database(alice: Account, write: Callable[[Account], object]) -> None:
    ledger.hold(alice, 30, reference="fox")

    with assert_refused(IntegrityError, match="(?i)unique"), transaction.atomic():
        write(alice)


def _said(name: str) -> str:
    """SQLite names the column of a unique index, not the index."""
    unique = name in ("credits_hold_opens_once", "credits_hold_settles_once")
    return "UNIQUE constraint failed: credits_entry.hold_id" if unique and connection.vendor == "sqlite" else name


# --- Entries are only ever added ---

TAMPERING = {
    "one column": lambda: run("UPDATE credits_entry SET balance_change = 1000"),
    "nothing really": lambda: run("UPDATE credits_entry SET reason = reason"),
    "one row": lambda: run("DELETE FROM credits_entry WHERE kind = 'grant'"),
    "many rows": lambda: Entry.objects.update(reason="another"),
    "all rows": lambda: Entry.objects.all().delete(),
    "an object": lambda: Entry.objects.get().delete(),
}


@pytest.mark.parametrize("tamper", TAMPERING.values(), ids=TAMPERING)
def test_an_entry_is_never_changed_or_deleted(alice: Account, tamper: Callable[[], object]) -> None:
    """D6."""
    with assert_refused(DatabaseError, match="never changed or deleted"), transaction.atomic():
        tamper()


@pytest.mark.only_postgresql
def test_entries_are_never_emptied_out(alice: Account) -> None:
    with assert_refused(DatabaseError, match="never changed or deleted"), transaction.atomic():
        # The foreign keys are looked at first; before that, PostgreSQL truncates nothing anyway.
        run("SET CONSTRAINTS ALL IMMEDIATE", "TRUNCATE credits_entry")


def test_an_entry_is_saved_once(alice: Account) -> None:
    entry = Entry.objects.get()
    entry.balance_change = 1000

    with assert_refused(TypeError, match="post another one"):
        entry.save()


def test_without_the_triggers_an_entry_can_be_changed(alice: Account) -> None:
    """Negative control: it is the triggers that refuse, and they can be put back."""
    remove_the_triggers()
    Entry.objects.update(reason="another")
    put_the_triggers_back()

    assert Entry.objects.get().reason == "another"
    with assert_refused(DatabaseError, match="never changed"), transaction.atomic():
        Entry.objects.update(reason="a third")
