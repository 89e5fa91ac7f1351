"""Who has how many credits. Nothing else writes a balance, a hold or an entry.

    hold ──► capture (all or part; the rest is released)      grant, adjust: the treasury's hand
         └─► release                                          refund: back from revenue, never more than captured

Every verb is one transaction, joins the caller's if there is one, and is safe to race: the database decides.

    LedgerError
    ├── InsufficientCredits   the account cannot afford it: tell the customer what is needed and available
    ├── NotOpen               the hold is settled already, or was never opened
    ├── HoldExists            the reference has a hold already: the caller is doing something twice
    ├── RefundTooLarge        more than was captured and not yet refunded
    └── KeyTaken              the key stands for another posting: the caller mixes two things up
"""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from credits.models import CREDITS_MAX, KEY_CHARACTERS_MAX, Account, Entry, Hold


class LedgerError(Exception):
    """The ledger refuses. Nothing was changed."""


class InsufficientCredits(LedgerError):
    def __init__(self, *, needed: int, available: int) -> None:
        super().__init__(f"This costs {needed} credits and {available} are available.")
        self.needed = needed
        self.available = available


class NotOpen(LedgerError):
    """There is no open hold of this reference."""


class HoldExists(LedgerError):
    """There is a hold of this reference already."""


class RefundTooLarge(LedgerError):
    """A refund is at most what was captured and not yet refunded."""


class KeyTaken(LedgerError):
    """The key stands for another posting."""


@transaction.atomic
def hold(account: Account, amount: int, *, reference: str) -> Hold:
    """Set `amount` credits aside. Raises InsufficientCredits, HoldExists; ValueError for a nonsense amount."""
    _require_amount(amount, minimum=0)
    # The condition and the change are one statement: of many at once, only as many pass as can be paid.
    affordable = Account.objects.filter(pk=account.pk, balance__gte=F("held") + amount)
    if affordable.update(held=F("held") + amount) == 0:
        raise InsufficientCredits(needed=amount, available=_available(account))
    try:
        with transaction.atomic():
            opened = Hold.objects.create(account=account, amount=amount, reference=reference)
    except IntegrityError as error:
        # Leaving by an exception undoes the update above, inside a caller's transaction too.
        raise HoldExists(f"There is a hold for {reference} already.") from error
    Entry.objects.create(account=account, hold=opened, kind=Entry.Kind.HOLD, held_change=amount)
    return opened


@transaction.atomic
def capture(reference: str, amount: int | None = None) -> Hold:
    """Take `amount` of the hold (None: all of it) for good and release the rest. Raises NotOpen."""
    held = _find(reference)
    taken = held.amount if amount is None else amount
    _require_amount(taken, minimum=0, maximum=held.amount)
    if taken == 0 and held.amount > 0:
        return _settle(held, captured=0, kind=Entry.Kind.RELEASE)
    return _settle(held, captured=taken, kind=Entry.Kind.CAPTURE)


@transaction.atomic
def release(reference: str) -> Hold:
    """Give the whole hold back. Raises NotOpen."""
    return _settle(_find(reference), captured=0, kind=Entry.Kind.RELEASE)


@transaction.atomic
def grant(account: Account, amount: int, *, key: str, actor: str, reason: str = "") -> Entry:
    """Give credits. The same `key` again changes nothing and returns the first entry."""
    _require_amount(amount, minimum=1)
    return _post(account, Entry.Kind.GRANT, amount, key=key, actor=actor, reason=reason)


@transaction.atomic
def adjust(account: Account, change: int, *, key: str, actor: str, reason: str) -> Entry:
    """Correct a balance by hand, up or down, never below what is held. Idempotent by `key`.

    Raises InsufficientCredits when the correction would leave less than the open holds need.
    """
    _require_amount(change, minimum=-CREDITS_MAX)
    if change == 0 or not reason:
        raise ValueError("An adjustment changes something and says why.")
    return _post(account, Entry.Kind.ADJUST, change, key=key, actor=actor, reason=reason)


@transaction.atomic
def refund(reference: str, amount: int, *, key: str, actor: str, reason: str) -> Entry:
    """Give captured credits back, as a new entry. Idempotent by `key`. Raises NotOpen, RefundTooLarge."""
    _require_amount(amount, minimum=1)
    captured = _find(reference)
    account = _lock(captured.account)
    if earlier := _earlier(key, account, Entry.Kind.REFUND, amount, hold=captured):
        return earlier
    within = Hold.objects.filter(pk=captured.pk, captured__gte=F("refunded") + amount)
    if within.update(refunded=F("refunded") + amount) == 0:
        raise RefundTooLarge(f"{amount} credits are more than is left to refund of {reference}.")
    return _post(account, Entry.Kind.REFUND, amount, key=key, actor=actor, reason=reason, hold=captured)


def _settle(held: Hold, *, captured: int, kind: Entry.Kind) -> Hold:
    still_open = Hold.objects.filter(pk=held.pk, settled_at=None)
    settled = still_open.update(captured=captured, released=held.amount - captured, settled_at=timezone.now())
    if settled == 0:
        raise NotOpen(f"The hold for {held.reference} is settled already.")
    Account.objects.filter(pk=held.account_id).update(balance=F("balance") - captured, held=F("held") - held.amount)
    Entry.objects.create(
        account_id=held.account_id,
        hold=held,
        kind=kind,
        balance_change=-captured,
        held_change=-held.amount,
        counter_side=Entry.CounterSide.REVENUE if captured else Entry.CounterSide.NONE,
    )
    held.refresh_from_db()
    return held


def _post(
    account: Account, kind: Entry.Kind, change: int, *, key: str, actor: str, reason: str, hold: Hold | None = None
) -> Entry:
    """Move `change` credits between the account and the other side, once per key."""
    _lock(account)
    if earlier := _earlier(key, account, kind, change, hold=hold):
        return earlier
    affordable = Account.objects.filter(pk=account.pk, balance__gte=F("held") - change)
    if affordable.update(balance=F("balance") + change) == 0:
        raise InsufficientCredits(needed=-change, available=_available(account))
    side = Entry.CounterSide.REVENUE if kind == Entry.Kind.REFUND else Entry.CounterSide.TREASURY
    posted = Entry(
        account=account,
        kind=kind,
        balance_change=change,
        counter_side=side,
        key=key,
        actor=actor,
        reason=reason,
        hold=hold,
    )
    try:
        with transaction.atomic():
            posted.save()
    except IntegrityError as error:
        # Another account's posting took the key in this very moment; of one account, they wait for each other.
        raise KeyTaken(f"The key {key} stands for another posting.") from error
    return posted


def _earlier(key: str, account: Account, kind: Entry.Kind, change: int, *, hold: Hold | None) -> Entry | None:
    """The posting that this one repeats. Raises KeyTaken when the key stands for something else."""
    if not 1 <= len(key) <= KEY_CHARACTERS_MAX:
        raise ValueError(f"A key has 1 to {KEY_CHARACTERS_MAX} characters.")
    earlier = Entry.objects.filter(key=key).first()
    if earlier is None:
        return None
    posted = (earlier.account_id, earlier.kind, earlier.balance_change, earlier.hold_id)
    if posted != (account.pk, kind, change, hold.pk if hold else None):
        raise KeyTaken(f"The key {key} stands for another posting.")
    return earlier


def _lock(account: Account) -> Account:
    # Two postings of one key wait for each other here, so the second sees the first's entry.
    return Account.objects.select_for_update().get(pk=account.pk)


def _find(reference: str) -> Hold:
    try:
        return Hold.objects.select_related("account").get(reference=reference)
    except Hold.DoesNotExist:
        raise NotOpen(f"There is no hold for {reference}.") from None


def _available(account: Account) -> int:
    account.refresh_from_db(fields=["balance", "held"])
    return account.available


def _require_amount(amount: int, *, minimum: int, maximum: int = CREDITS_MAX) -> None:
    if isinstance(amount, bool) or not isinstance(amount, int) or not minimum <= amount <= maximum:
        raise ValueError(f"{amount!r} is not a whole number of credits from {minimum} to {maximum}.")
