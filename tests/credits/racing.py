"""Many at once, from one starting line; and the ledger as one writes it at first, for the races to catch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from credits.ledger import InsufficientCredits, LedgerError, NotOpen
from credits.models import Account, Entry, Hold

WAIT_SECONDS_MAX = 10

Work = Callable[[], Any]


def race(*runners: Work) -> list[Any]:
    """Run them all at once. What each answered, or the error with which it was refused."""
    line = threading.Barrier(len(runners))

    def run(work: Work) -> Any:
        try:
            line.wait(WAIT_SECONDS_MAX)
            return work()
        except (LedgerError, DatabaseError) as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(runners)) as pool:
        return list(pool.map(run, runners))


def refusals(results: Sequence[Any]) -> list[type[Exception]]:
    return [type(result) for result in results if isinstance(result, Exception)]


class Naive:
    """Reads, thinks, and saves. All racers meet between the thought and the deed, so the race is lost for certain."""

    def __init__(self, racers: int) -> None:
        self._meeting = threading.Barrier(racers)

    def _meet(self) -> None:
        self._meeting.wait(WAIT_SECONDS_MAX)

    @transaction.atomic
    def hold(self, account: Account, amount: int, *, reference: str) -> None:
        seen = Account.objects.get(pk=account.pk)
        if seen.available < amount:
            raise InsufficientCredits(needed=amount, available=seen.available)
        self._meet()
        seen.held += amount
        seen.save(update_fields=["held"])
        opened = Hold.objects.create(account=seen, amount=amount, reference=reference)
        Entry.objects.create(account=seen, hold=opened, kind="hold", held_change=amount)

    @transaction.atomic
    def settle(self, reference: str, kind: str) -> None:
        seen = Hold.objects.select_related("account").get(reference=reference)
        if seen.settled_at:
            raise NotOpen
        self._meet()
        taken = seen.amount if kind == "capture" else 0
        seen.settled_at, seen.captured, seen.released = timezone.now(), taken, seen.amount - taken
        seen.save()
        side = "revenue" if taken else ""
        Entry.objects.create(
            account=seen.account,
            hold=seen,
            kind=kind,
            balance_change=-taken,
            held_change=-seen.amount,
            counter_side=side,
        )

    @transaction.atomic
    def grant(self, account: Account, amount: int, *, key: str) -> None:
        known = Entry.objects.filter(key=key).exists()
        seen = Account.objects.get(pk=account.pk)
        self._meet()
        if not known:
            seen.balance += amount
            seen.save(update_fields=["balance"])
            Entry.objects.create(account=seen, kind="grant", balance_change=amount, counter_side="treasury", key=key)

    @transaction.atomic
    def adjust(self, account: Account, change: int, *, key: str) -> None:
        seen = Account.objects.get(pk=account.pk)
        if seen.available + change < 0:
            raise InsufficientCredits(needed=-change, available=seen.available)
        self._meet()
        seen.balance += change
        seen.save(update_fields=["balance"])
        Entry.objects.create(account=seen, kind="adjust", balance_change=change, counter_side="treasury", key=key)
