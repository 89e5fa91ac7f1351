"""A ledger that is unsafe on purpose: the negative control of the races."""

from __future__ import annotations

import threading

from django.db import transaction
from django.utils import timezone

from credits.ledger import InsufficientCredits, NotOpen
from credits.models import Account, Entry, Hold
from tests.services.waiting import HANG_SECONDS


class UnsafeLedger:
    """A ledger that reads a row, decides in Python and saves. All racers wait for each other between the read and the
    write, so every one of them decides on the same old values."""

    def __init__(self, racers: int) -> None:
        self._barrier = threading.Barrier(racers)

    def _wait_for_the_others(self) -> None:
        self._barrier.wait(HANG_SECONDS)

    @transaction.atomic
    def hold(self, account: Account, amount: int, *, reference: str) -> None:
        account = Account.objects.get(pk=account.pk)
        if account.available < amount:
            raise InsufficientCredits(needed=amount, available=account.available)
        self._wait_for_the_others()
        account.held += amount
        account.save(update_fields=["held"])
        opened = Hold.objects.create(account=account, amount=amount, reference=reference)
        Entry.objects.create(account=account, hold=opened, kind="hold", held_change=amount, available_after=0)

    @transaction.atomic
    def settle(self, reference: str, kind: str) -> None:
        hold = Hold.objects.select_related("account").get(reference=reference)
        if hold.settled_at:
            raise NotOpen
        self._wait_for_the_others()
        captured = hold.amount if kind == "capture" else 0
        hold.settled_at, hold.captured, hold.released = timezone.now(), captured, hold.amount - captured
        hold.save()
        Entry.objects.create(
            account=hold.account,
            hold=hold,
            kind=kind,
            balance_change=-captured,
            held_change=-hold.amount,
            counter_side="revenue" if captured else "",
            available_after=0,
        )

    @transaction.atomic
    def grant(self, account: Account, amount: int, *, key: str) -> None:
        is_posted = Entry.objects.filter(key=key).exists()
        account = Account.objects.get(pk=account.pk)
        self._wait_for_the_others()
        if not is_posted:
            account.balance += amount
            account.save(update_fields=["balance"])
            Entry.objects.create(
                account=account,
                kind="grant",
                balance_change=amount,
                counter_side="treasury",
                key=key,
                available_after=0,
            )

    @transaction.atomic
    def adjust(self, account: Account, change: int, *, key: str) -> None:
        account = Account.objects.get(pk=account.pk)
        if account.available + change < 0:
            raise InsufficientCredits(needed=-change, available=account.available)
        self._wait_for_the_others()
        account.balance += change
        account.save(update_fields=["balance"])
        Entry.objects.create(
            account=account, kind="adjust", balance_change=change, counter_side="treasury", key=key, available_after=0
        )
