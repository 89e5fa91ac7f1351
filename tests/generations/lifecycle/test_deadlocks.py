"""Orders, retries, erasures, ends and callbacks of an account lock their rows in one order.

docs/decisions/0009-locks.md. Real threads on PostgreSQL, which counts the deadlocks that it has resolved.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from credits import ledger
from credits.audit import audit
from credits.models import Account
from generations import lifecycle, services
from generations.errors import DomainError
from generations.lifecycle import placing, transitions
from generations.models import Erasure, Event, Generation, Output, ProviderCallback
from generations.workers import callback_inbox
from notifications import event_feed
from tests.fixtures.orders import PlaceOrder
from tests.helpers import lifecycle_facts
from tests.helpers.locks import deadlocks, is_deadlock
from tests.helpers.threads import at_once, race
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

pytestmark = [pytest.mark.only_postgresql, pytest.mark.django_db(transaction=True)]

ROUNDS = 40


class Round:
    """A completed generation, another one whose file is being copied, and what their account may do at once."""

    def __init__(self, order: PlaceOrder, account: Account, number: int) -> None:
        self._order, self._account, self._number = order, account, number
        self.done, storing = order(prompt=f"done {number}"), order(prompt=f"storing {number}")
        self._submission, self._ending = self.done.submissions.get(), storing.submissions.get()
        lifecycle_facts.reach_storing(self._submission)
        lifecycle_facts.stored(self._submission)
        lifecycle_facts.reach_storing(self._ending)
        self.done.refresh_from_db()

    def use_output(self) -> Generation:
        output = str(Output.objects.get(generation=self.done).pk)
        return self._order("nano-banana-edit", prompt=f"edit {self._number}", image_urls=[{"output": output}])

    def order_again(self) -> object:
        return services.order_again(
            self._account,
            self.done,
            credits=self.done.credits,
            actor="user:alice",
            idempotency_key=None,
            request_hash="",
            allow_duplicate=True,
        )

    def erase(self) -> Erasure:
        return lifecycle.erase(self.done, actor="user:alice")

    def end_another(self) -> object:
        return lifecycle_facts.stored(self._ending)

    def receive_late_callback(self) -> ProviderCallback:
        request_id = str(self.done.submissions.get().request_id)
        body = json.dumps({"request_id": request_id, "status": "ERROR", "error": "late", "payload": {}}).encode()
        return ProviderCallback.objects.create(
            submission=self._submission, request_id=request_id, body=body, body_sha256=f"late {self._number}"
        )

    def process_late_callback(self) -> object:
        return callback_inbox.process(self.receive_late_callback())

    def read_feed(self) -> object:
        return event_feed.read(self._account, after=Event.objects.filter(number__isnull=False).count(), limit=100)

    def grant(self) -> object:
        return ledger.grant(self._account, 5, key=f"round {self._number}", actor="test")

    def acts(self) -> list[Callable[[], object]]:
        twice = [self.use_output, self.order_again, self.process_late_callback, self.read_feed]
        return [*twice, self.erase, self.end_another, self.grant, *twice[:2], *twice[3:]]


def test_forty_rounds_of_everything_at_once_are_no_deadlock(order: PlaceOrder, alice: Account) -> None:
    ledger.grant(alice, 100_000, key="more", actor="test")
    before = deadlocks()

    for number in range(ROUNDS):
        acts = Round(order, alice, number).acts()

        def act(index: int, acts: list[Callable[[], object]] = acts) -> None:
            try:
                acts[index]()
            except DomainError:
                # The other one was first: the output is erased, or in use.
                return

        at_once(len(acts), act)

    assert deadlocks() == before
    assert audit().clean


class TestErasureAgainstOrder:
    """An erasure that has locked an output inserts an event, which refers to the account that the order has locked."""

    @pytest.fixture
    def both(self, order: PlaceOrder, alice: Account) -> list[Any]:
        """What an order and an erasure return that begin at the same time."""
        round, has_lock, is_erased = Round(order, alice, 1), threading.Event(), threading.Event()

        def use_output() -> object:
            with transaction.atomic():
                placing.lock_account(alice)
                has_lock.set()
                until(lambda: is_erased.is_set() or a_lock_is_awaited(), what="the erasure")
                try:
                    return round.use_output()
                except DomainError as error:
                    return error

        def erase() -> object:
            has_lock.wait(HANG_SECONDS)
            try:
                return round.erase()
            except DomainError as error:
                return error
            finally:
                is_erased.set()

        return race(use_output, erase)

    def test_the_erasure_does_not_wait_for_the_account(self, both: list[Any]) -> None:
        assert [type(result).__name__ for result in both] == ["InvalidInput", "Erasure"]

    @pytest.fixture
    def locked_for_update(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lock = lambda account: Account.objects.select_for_update().get(pk=account.pk)  # noqa: E731
        monkeypatch.setattr(placing, "lock_account", lock)
        monkeypatch.setattr("database.transactions.TIMES", 1)

    def test_with_a_lock_for_update_they_wait_for_each_other(self, locked_for_update: None, both: list[Any]) -> None:
        """Negative control."""
        assert any(map(is_deadlock, both))


class TestErasureAgainstCallback:
    """An erasure empties the callbacks of its generation. The inbox locks both."""

    def both(self, round: Round, process: Callable[[ProviderCallback], object]) -> list[Any]:
        stored, has_lock = round.receive_late_callback(), threading.Event()

        def erase() -> object:
            with transaction.atomic():
                transitions.lock(round.done.pk)
                has_lock.set()
                until(a_lock_is_awaited, what="the inbox to wait for the generation")
                return round.erase()

        def process_after_the_lock() -> object:
            has_lock.wait(HANG_SECONDS)
            return process(stored)

        return race(erase, process_after_the_lock)

    def test_the_inbox_locks_the_generation_first(self, order: PlaceOrder, alice: Account) -> None:
        receipt, outcome = self.both(Round(order, alice, 1), callback_inbox.process)

        assert (type(receipt), outcome) == (Erasure, ProviderCallback.Outcome.IGNORED)

    def test_with_the_callback_first_they_wait_for_each_other(self, order: PlaceOrder, alice: Account) -> None:
        """Negative control."""

        round = Round(order, alice, 1)

        def lock_callback_first(stored: ProviderCallback) -> None:
            with transaction.atomic():
                ProviderCallback.objects.select_for_update(no_key=True).get(pk=stored.pk)
                transitions.lock(round.done.pk)

        assert any(map(is_deadlock, self.both(round, lock_callback_first)))
