"""Random operations on the ledger and on a model of forty lines without a database: both must agree at each step."""

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
from tests.credits.tables import BY_STAFF, balance_and_held, open_account, statement

# `EXAMPLES_FACTOR=100 make test ARGS="-k agrees_with_its_model"` tries a hundred times as many examples.
EXAMPLES = 12 * int(os.environ.get("EXAMPLES_FACTOR") or 1)
STEPS = 25


@dataclass
class ModelHold:
    owner: str
    amount: int
    captured: int | None = None
    refunded: int = 0


@dataclass
class Model:
    """What the ledger should do."""

    entries: dict[str, list[tuple[str, int, int]]] = field(default_factory=lambda: {"alice": [], "bob": []})
    holds: dict[str, ModelHold] = field(default_factory=dict)
    keys: dict[str, tuple[str, str, int, str]] = field(default_factory=dict)

    def balance_and_held(self, owner: str) -> tuple[int, int]:
        return sum(change for _, change, _ in self.entries[owner]), sum(held for _, _, held in self.entries[owner])

    def hold(self, owner: str, amount: int, reference: str) -> None:
        self._require_available(owner, amount)
        if reference in self.holds:
            raise HoldExists
        self.holds[reference] = ModelHold(owner, amount)
        self.entries[owner].append(("hold", 0, amount))

    def settle(self, reference: str, captured: int | None) -> None:
        hold = self._find_hold(reference)
        if captured is not None and not 0 <= captured <= hold.amount:
            raise ValueError
        if hold.captured is not None:
            raise NotOpen
        hold.captured = hold.amount if captured is None else captured
        self.entries[hold.owner].append(("settled", -hold.captured, -hold.amount))

    def refund(self, reference: str, amount: int, key: str) -> None:
        hold = self._find_hold(reference)
        if self._is_new(key, (hold.owner, "refund", amount, reference)):
            if hold.refunded + amount > (hold.captured or 0):
                raise RefundTooLarge
            hold.refunded += amount
            self._post(hold.owner, "refund", amount, key, reference)

    def change(self, owner: str, kind: str, amount: int, key: str) -> None:
        if self._is_new(key, (owner, kind, amount, "")):
            self._require_available(owner, -amount)
            self._post(owner, kind, amount, key, "")

    def _find_hold(self, reference: str) -> ModelHold:
        if reference not in self.holds:
            raise NotOpen
        return self.holds[reference]

    def _require_available(self, owner: str, amount: int) -> None:
        balance, held = self.balance_and_held(owner)
        if balance - held < amount:
            raise InsufficientCredits(needed=amount, available=balance - held)

    def _is_new(self, key: str, posting: tuple[str, str, int, str]) -> bool:
        if self.keys.get(key, posting) != posting:
            raise KeyTaken
        return key not in self.keys

    def _post(self, owner: str, kind: str, amount: int, key: str, reference: str) -> None:
        self.keys[key] = (owner, kind, amount, reference)
        self.entries[owner].append((kind, amount, 0))


OWNERS = st.sampled_from(["alice", "bob"])
REFERENCES = st.sampled_from([f"order:{n}" for n in range(8)])
KEYS = st.sampled_from([f"key:{n}" for n in range(12)])
AMOUNTS = st.integers(1, 60)
NO_AMOUNTS = st.sampled_from([-1, 2**31, True, 1.5, "7", None])


class LedgerAndModel(RuleBasedStateMachine):
    """Each example starts with an empty ledger, in a transaction that is rolled back at its end."""

    def __init__(self) -> None:
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        self.model = Model()
        self.accounts = {owner: open_account(owner) for owner in ("alice", "bob")}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self._transaction.__exit__(None, None, None)

    def on_both(self, on_model: Callable[[], Any], on_ledger: Callable[[], Any]) -> None:
        """Apply an operation to both. Where the model refuses it, the ledger must raise the same error."""
        try:
            on_model()
        except (ledger.LedgerError, ValueError) as refusal:
            with pytest.raises(type(refusal)):
                on_ledger()
        else:
            on_ledger()

    @rule(owner=OWNERS, amount=AMOUNTS, key=KEYS)
    def grant(self, owner: str, amount: int, key: str) -> None:
        self.on_both(
            lambda: self.model.change(owner, "grant", amount, key),
            lambda: ledger.grant(self.accounts[owner], amount, key=key, actor="staff"),
        )

    @rule(owner=OWNERS, change=AMOUNTS | AMOUNTS.map(int.__neg__), key=KEYS)
    def adjust(self, owner: str, change: int, key: str) -> None:
        self.on_both(
            lambda: self.model.change(owner, "adjust", change, key),
            lambda: ledger.adjust(self.accounts[owner], change, key=key, **BY_STAFF),
        )

    @rule(owner=OWNERS, amount=st.just(0) | AMOUNTS, reference=REFERENCES)
    def hold(self, owner: str, amount: int, reference: str) -> None:
        self.on_both(
            lambda: self.model.hold(owner, amount, reference),
            lambda: ledger.hold(self.accounts[owner], amount, reference=reference),
        )

    @rule(reference=REFERENCES, amount=st.none() | st.integers(0, 60))
    def capture(self, reference: str, amount: int | None) -> None:
        self.on_both(lambda: self.model.settle(reference, amount), lambda: ledger.capture(reference, amount))

    @rule(reference=REFERENCES)
    def release(self, reference: str) -> None:
        self.on_both(lambda: self.model.settle(reference, 0), lambda: ledger.release(reference))

    @rule(reference=REFERENCES, amount=AMOUNTS, key=KEYS)
    def refund(self, reference: str, amount: int, key: str) -> None:
        self.on_both(
            lambda: self.model.refund(reference, amount, key),
            lambda: ledger.refund(reference, amount, key=key, **BY_STAFF),
        )

    @rule(owner=OWNERS, amount=NO_AMOUNTS, reference=REFERENCES)
    def refuse_what_is_no_amount(self, owner: str, amount: Any, reference: str) -> None:
        for operation in (
            lambda: ledger.hold(self.accounts[owner], amount, reference=reference),
            lambda: ledger.grant(self.accounts[owner], amount, key="new", actor="staff"),
            lambda: ledger.refund(reference, amount, key="new", **BY_STAFF),
        ):
            with pytest.raises(ValueError, match="whole number"):
                operation()

    @invariant()
    def both_are_equal(self) -> None:
        for owner, account in self.accounts.items():
            assert balance_and_held(account) == self.model.balance_and_held(owner)
            # To the model, a release and a capture of nothing are the same.
            entries = [
                ("settled" if kind in ("capture", "release") else kind, change, held)
                for kind, change, held in statement(account)
            ]
            assert entries == self.model.entries[owner][::-1]
        holds = {hold.reference: hold for account in self.accounts.values() for hold in account.holds.all()}
        assert {name: (hold.amount, hold.captured, hold.refunded) for name, hold in holds.items()} == {
            name: (hold.amount, hold.captured or 0, hold.refunded) for name, hold in self.model.holds.items()
        }
        assert audit().findings == []


@pytest.mark.long
@pytest.mark.django_db
def test_the_ledger_agrees_with_its_model() -> None:
    """Cases D1 to D11 of docs/failure-modes.md, in any order."""
    sized = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )

    run_state_machine_as_test(LedgerAndModel, settings=sized)

    assert balance_and_held(open_account("carol")) == (0, 0)
