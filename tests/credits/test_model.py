"""The ledger beside a model of forty lines: whatever is asked of both, both say and have the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from credits import ledger
from credits.audit import audit
from credits.ledger import HoldExists, InsufficientCredits, KeyTaken, NotOpen, RefundTooLarge
from tests.credits.books import money, open_account, statement

# `SOAK=100 make test ARGS="-k agrees_with_its_model"` looks a hundred times longer.
EXAMPLES = 12 * int(os.environ.get("SOAK") or 1)
STEPS = 25


@dataclass
class Held:
    owner: str
    amount: int
    captured: int | None = None
    refunded: int = 0


@dataclass
class Model:
    """What the ledger ought to do, without a database."""

    entries: dict[str, list[tuple[str, int, int]]] = field(default_factory=lambda: {"alice": [], "bob": []})
    holds: dict[str, Held] = field(default_factory=dict)
    keys: dict[str, tuple[str, str, int, str]] = field(default_factory=dict)

    def money(self, owner: str) -> tuple[int, int]:
        return sum(change for _, change, _ in self.entries[owner]), sum(held for _, _, held in self.entries[owner])

    def hold(self, owner: str, amount: int, reference: str) -> None:
        self._require(owner, amount)
        if reference in self.holds:
            raise HoldExists
        self.holds[reference] = Held(owner, amount)
        self.entries[owner].append(("hold", 0, amount))

    def settle(self, reference: str, taken: int | None) -> None:
        held = self.holds.get(reference)
        if held is None:
            raise NotOpen
        if taken is not None and not 0 <= taken <= held.amount:
            raise ValueError
        if held.captured is not None:
            raise NotOpen
        held.captured = held.amount if taken is None else taken
        self.entries[held.owner].append(("settled", -held.captured, -held.amount))

    def refund(self, reference: str, amount: int, key: str) -> None:
        held = self.holds.get(reference)
        if held is None:
            raise NotOpen
        if self._is_new(key, (held.owner, "refund", amount, reference)):
            if held.refunded + amount > (held.captured or 0):
                raise RefundTooLarge
            held.refunded += amount
            self._post(held.owner, "refund", amount, key, reference)

    def change(self, owner: str, kind: str, amount: int, key: str) -> None:
        if self._is_new(key, (owner, kind, amount, "")):
            self._require(owner, -amount)
            self._post(owner, kind, amount, key, "")

    def _require(self, owner: str, amount: int) -> None:
        balance, held = self.money(owner)
        if balance - held < amount:
            raise InsufficientCredits(needed=amount, available=balance - held)

    def _is_new(self, key: str, wish: tuple[str, str, int, str]) -> bool:
        if self.keys.get(key, wish) != wish:
            raise KeyTaken
        return key not in self.keys

    def _post(self, owner: str, kind: str, amount: int, key: str, reference: str) -> None:
        self.keys[key] = (owner, kind, amount, reference)
        self.entries[owner].append((kind, amount, 0))


OWNERS = st.sampled_from(["alice", "bob"])
REFERENCES = st.sampled_from([f"order:{n}" for n in range(8)])
KEYS = st.sampled_from([f"key:{n}" for n in range(12)])
AMOUNTS = st.integers(1, 60)
NONSENSE = st.sampled_from([-1, 2**31, True, 1.5, "7", None])
BY_HAND = {"actor": "staff", "reason": "a mistake"}


class LedgerBesideModel(RuleBasedStateMachine):
    """Each run begins with empty books, in a transaction that is taken back at its end."""

    def __init__(self) -> None:
        super().__init__()
        self._run = transaction.atomic()
        self._run.__enter__()
        self.model = Model()
        self.accounts = {owner: open_account(owner) for owner in ("alice", "bob")}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self._run.__exit__(None, None, None)

    def both(self, expected: Callable[[], Any], real: Callable[[], Any]) -> None:
        try:
            expected()
        except (ledger.LedgerError, ValueError) as refusal:
            with pytest.raises(type(refusal)):
                real()
        else:
            real()

    @rule(owner=OWNERS, amount=AMOUNTS, key=KEYS)
    def grant(self, owner: str, amount: int, key: str) -> None:
        self.both(
            lambda: self.model.change(owner, "grant", amount, key),
            lambda: ledger.grant(self.accounts[owner], amount, key=key, actor="staff"),
        )

    @rule(owner=OWNERS, change=AMOUNTS | AMOUNTS.map(int.__neg__), key=KEYS)
    def adjust(self, owner: str, change: int, key: str) -> None:
        self.both(
            lambda: self.model.change(owner, "adjust", change, key),
            lambda: ledger.adjust(self.accounts[owner], change, key=key, **BY_HAND),
        )

    @rule(owner=OWNERS, amount=st.just(0) | AMOUNTS, reference=REFERENCES)
    def hold(self, owner: str, amount: int, reference: str) -> None:
        self.both(
            lambda: self.model.hold(owner, amount, reference),
            lambda: ledger.hold(self.accounts[owner], amount, reference=reference),
        )

    @rule(reference=REFERENCES, amount=st.none() | st.integers(0, 60))
    def capture(self, reference: str, amount: int | None) -> None:
        self.both(lambda: self.model.settle(reference, amount), lambda: ledger.capture(reference, amount))

    @rule(reference=REFERENCES)
    def release(self, reference: str) -> None:
        self.both(lambda: self.model.settle(reference, 0), lambda: ledger.release(reference))

    @rule(reference=REFERENCES, amount=AMOUNTS, key=KEYS)
    def refund(self, reference: str, amount: int, key: str) -> None:
        self.both(
            lambda: self.model.refund(reference, amount, key),
            lambda: ledger.refund(reference, amount, key=key, **BY_HAND),
        )

    @rule(owner=OWNERS, nonsense=NONSENSE, reference=REFERENCES)
    def ask_for_nonsense(self, owner: str, nonsense: Any, reference: str) -> None:
        for ask in (
            lambda: ledger.hold(self.accounts[owner], nonsense, reference=reference),
            lambda: ledger.grant(self.accounts[owner], nonsense, key="new", actor="staff"),
            lambda: ledger.refund(reference, nonsense, key="new", **BY_HAND),
        ):
            with pytest.raises(ValueError, match="whole number"):
                ask()

    @invariant()
    def both_have_the_same(self) -> None:
        for owner, account in self.accounts.items():
            assert money(account) == self.model.money(owner)
            assert [_as_the_model_says(entry) for entry in statement(account)] == self.model.entries[owner][::-1]
        holds = {h.reference: h for account in self.accounts.values() for h in account.holds.all()}
        assert {name: (h.amount, h.captured, h.refunded) for name, h in holds.items()} == {
            name: (h.amount, h.captured or 0, h.refunded) for name, h in self.model.holds.items()
        }
        assert audit().findings == []


def _as_the_model_says(entry: tuple[str, int, int]) -> tuple[str, int, int]:
    """To the model, a capture of nothing and a release are the same."""
    kind, change, held = entry
    return ("settled" if kind in ("capture", "release") else kind, change, held)


@pytest.mark.django_db
def test_the_ledger_agrees_with_its_model() -> None:
    """D1-D11, in any order."""
    sized = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )

    run_state_machine_as_test(LedgerBesideModel, settings=sized)

    assert money(open_account("carol")) == (0, 0)
