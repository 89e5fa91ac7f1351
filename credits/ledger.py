"""The ledger: the only module that writes balances, holds and entries.

    hold ──► capture (all or part; the rest is released) ──► refund (at most what was captured)
         └─► release

    grant, adjust (credits move between the treasury and the account)

`generations.lifecycle` holds, captures and releases credits; the admin and `manage.py` grant, adjust and refund them.
Each function runs in one transaction, or joins its caller's, and is safe to call concurrently: conditional UPDATEs and
unique constraints decide, not values that Python read before.

    LedgerError                the operation was refused, and nothing was changed
    ├── InsufficientCredits    the account cannot afford it
    ├── NotOpen                the reference has no open hold: it was never opened, or it is settled
    ├── HoldExists             the reference already has a hold, so its caller holds credits twice for one thing
    ├── RefundTooLarge         more than was captured and not yet refunded
    └── KeyTaken               the key was used for a different entry, so its caller confuses two entries
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import IntegrityError, transaction
from django.db.models import F

from credits import statements
from credits.models import CREDITS_MAX, KEY_CHARACTERS_MAX, Account, Entry, Hold
from database.statements import Read, Row, Step
from errors import DomainError


class LedgerError(Exception):
    """The ledger refuses the operation. Nothing was changed."""


class InsufficientCredits(DomainError, LedgerError):
    """The account cannot afford the operation."""

    code, status, title = "insufficient_credits", 402, "Insufficient credits"

    def __init__(self, *, needed: int, available: int) -> None:
        detail = f"This costs {needed} credits and {available} are available."
        super().__init__(detail, needed=needed, available=available)
        self.needed = needed
        self.available = available


class NotOpen(LedgerError):
    """The reference has no open hold."""


class HoldExists(LedgerError):
    """The reference already has a hold, open or settled."""


class RefundTooLarge(LedgerError):
    """The refund exceeds what was captured and not yet refunded."""


class KeyTaken(LedgerError):
    """The key was already used for a different entry."""


def hold(account: Account, amount: int, *, reference: str) -> None:
    """Reserve credits of an account until they are captured or released.

    Args:
        account: The account that pays.
        amount: Whole credits, from 0 to CREDITS_MAX. An order that costs nothing has a hold of 0 credits.
        reference: What the credits are for, such as `generation:<uuid>`. A reference has one hold for all time.

    Raises:
        InsufficientCredits: The account has fewer credits available.
        HoldExists: The reference already has a hold.
        ValueError: `amount` is not a whole number in the range.
    """
    hold_all(account, {reference: amount})


def hold_all(
    account: Account, amounts: Mapping[str, int], *, together: Sequence[Step] = (), reads: Sequence[Read] = ()
) -> Row:
    """Reserve credits for several references, as `hold` does for one. All of them, or none.

    Args:
        account: The account that pays.
        amounts: By reference; at least one.
        together: What else to write in the same statement: what the credits are for. The caller is in a transaction,
            and rolls it back if this raises.
        reads: What to read in the same statement.

    Returns:
        The values of `reads`.

    Raises what `hold` raises; InsufficientCredits names the sum.
    """
    for amount in amounts.values():
        _require_amount(amount, minimum=0)
    try:
        values = statements.open_holds(account.pk, amounts, together=together, reads=reads)
        if values is not None:
            return values
    except IntegrityError as error:
        if together:
            # It may be about those rows.
            raise
        # A concurrent transaction has just taken one of the references.
        raise HoldExists(f"One of {', '.join(amounts)} already has a hold.") from error
    needed, available = sum(amounts.values()), _read_available(account)
    if needed <= available and (taken := Hold.objects.filter(reference__in=amounts).first()):
        raise HoldExists(f"{taken} already has a hold.")
    raise InsufficientCredits(needed=needed, available=available)


def capture(reference: str, amount: int | None = None) -> Hold:
    """Charge a hold, and release the part that is not charged.

    Args:
        reference: The reference of an open hold.
        amount: Credits to charge, from 0 to the amount of the hold. None charges all of it.

    Raises:
        NotOpen: The reference has no open hold.
        ValueError: `amount` is not a whole number in the range.
    """
    if amount is not None:
        _require_amount(amount, minimum=0)
    return _settle(reference, captured=amount, is_release=False)


def release(reference: str) -> Hold:
    """Give a whole hold back to the account. Raises NotOpen."""
    return _settle(reference, captured=0, is_release=True)


def release_all(references: Sequence[str]) -> None:
    """Give the whole holds of one account back, as `release` does for one. All of them, or none.

    The caller is in a transaction, and rolls it back if this raises.

    Args:
        references: At least one.

    Raises:
        NotOpen: One of the references has no open hold.
    """
    if statements.release_holds(references) != len(references):
        raise NotOpen(f"One of {', '.join(references)} has no open hold.")


@transaction.atomic
def grant(account: Account, amount: int, *, key: str, actor: str, reason: str = "") -> Entry:
    """Give an account credits from the treasury.

    Args:
        account: The account that receives them.
        amount: Whole credits, from 1 to CREDITS_MAX.
        key: Idempotency key, 1 to KEY_CHARACTERS_MAX characters. A repeated call changes nothing and returns the
            entry of the first one.
        actor: Who grants them, such as `staff:alice`.
        reason: Shown to the customer.

    Raises:
        KeyTaken: The key was used for a different entry.
        ValueError: `amount` or `key` is out of range.
    """
    _require_amount(amount, minimum=1)
    return _post(account, Entry.Kind.GRANT, amount, key=key, actor=actor, reason=reason)


@transaction.atomic
def adjust(account: Account, change: int, *, key: str, actor: str, reason: str) -> Entry:
    """Correct a balance by hand, up or down. `key` and `actor` are those of `grant`.

    Args:
        account: The account to correct.
        change: Whole credits to add, or to take away if negative; not 0.
        reason: Required, and shown to the customer.

    Raises:
        InsufficientCredits: The correction would take credits that open holds reserve.
        KeyTaken: The key was used for a different entry.
        ValueError: `change`, `key` or `reason` is out of range.
    """
    _require_amount(change, minimum=-CREDITS_MAX)
    if change == 0 or not reason:
        raise ValueError("An adjustment needs an amount other than 0 and a reason.")
    return _post(account, Entry.Kind.ADJUST, change, key=key, actor=actor, reason=reason)


@transaction.atomic
def refund(reference: str, amount: int, *, key: str, actor: str, reason: str) -> Entry:
    """Give captured credits back, from revenue to the account. `key`, `actor` and `reason` are those of `grant`.

    Args:
        reference: The reference of a captured hold.
        amount: Whole credits, from 1 to what was captured and not yet refunded.

    Raises:
        NotOpen: The reference never had a hold.
        RefundTooLarge: Less than `amount` is left to refund.
        KeyTaken: The key was used for a different entry.
        ValueError: `amount` or `key` is out of range.
    """
    _require_amount(amount, minimum=1)
    hold = _find_hold(reference)
    # The key is looked up under the account's lock and before the hold is changed: a repeated refund must not count
    # against what is left to refund.
    account = _lock(hold.account)
    if posted := _find_posted(key, account, Entry.Kind.REFUND, amount, hold=hold):
        return posted
    refundable = Hold.objects.filter(pk=hold.pk, captured__gte=F("refunded") + amount)
    if refundable.update(refunded=F("refunded") + amount) == 0:
        raise RefundTooLarge(f"{amount} credits exceed what is left to refund of {reference}.")
    return _post(account, Entry.Kind.REFUND, amount, key=key, actor=actor, reason=reason, hold=hold)


def _settle(reference: str, *, captured: int | None, is_release: bool) -> Hold:
    settled = statements.settle_hold(reference, captured=captured, is_release=is_release)
    if settled is not None:
        return settled
    hold = _find_hold(reference)
    if captured is not None:
        _require_amount(captured, minimum=0, maximum=hold.amount)
    raise NotOpen(f"The hold for {reference} is already settled.")


def _post(
    account: Account, kind: Entry.Kind, change: int, *, key: str, actor: str, reason: str, hold: Hold | None = None
) -> Entry:
    """Move `change` credits between the account and its counter-side, once per key."""
    # Concurrent entries to one account wait here, so the second of two with the same key finds the entry of the first.
    _lock(account)
    if posted := _find_posted(key, account, kind, change, hold=hold):
        return posted
    # The same condition as for a hold: a negative change must leave what open holds reserve.
    affordable = Account.objects.filter(pk=account.pk, balance__gte=F("held") - change)
    if affordable.update(balance=F("balance") + change) == 0:
        raise InsufficientCredits(needed=-change, available=_read_available(account))
    entry = Entry(
        account=account,
        available_after=_read_available(account),
        kind=kind,
        balance_change=change,
        # A refund comes from revenue, where the capture put it; grants and adjustments come from the treasury.
        counter_side=Entry.CounterSide.REVENUE if kind == Entry.Kind.REFUND else Entry.CounterSide.TREASURY,
        key=key,
        actor=actor,
        reason=reason,
        hold=hold,
    )
    try:
        # In a savepoint: without one, PostgreSQL would refuse every later statement of a caller's transaction.
        with transaction.atomic():
            entry.save()
    except IntegrityError as error:
        # The lock covers one account. A concurrent entry of another account has just taken the key.
        raise KeyTaken(f"The key {key} was already used for a different entry.") from error
    return entry


def _find_posted(key: str, account: Account, kind: Entry.Kind, change: int, *, hold: Hold | None) -> Entry | None:
    """Return the entry that an earlier call with the same key and the same arguments has posted, if there is one."""
    if not 1 <= len(key) <= KEY_CHARACTERS_MAX:
        raise ValueError(f"A key has 1 to {KEY_CHARACTERS_MAX} characters.")
    posted = Entry.objects.filter(key=key).first()
    if posted is None:
        return None
    # Returning an entry for other credits or another account would tell the caller that these credits were posted.
    recorded = (posted.account_id, posted.kind, posted.balance_change, posted.hold_id)
    if recorded != (account.pk, kind, change, hold.pk if hold else None):
        raise KeyTaken(f"The key {key} was already used for a different entry.")
    return posted


def _lock(account: Account) -> Account:
    """Lock the account's row until the transaction ends. (SQLite has one writer at a time, and locks no rows.)"""
    return Account.objects.select_for_update(no_key=True).get(pk=account.pk)


def _find_hold(reference: str) -> Hold:
    try:
        return Hold.objects.select_related("account").get(reference=reference)
    except Hold.DoesNotExist:
        raise NotOpen(f"There is no hold for {reference}.") from None


def _read_available(account: Account) -> int:
    account.refresh_from_db(fields=["balance", "held"])
    return account.available


def _require_amount(amount: int, *, minimum: int, maximum: int = CREDITS_MAX) -> None:
    # bool is a subclass of int, and no number of credits.
    if isinstance(amount, bool) or not isinstance(amount, int) or not minimum <= amount <= maximum:
        raise ValueError(f"{amount!r} is not a whole number of credits from {minimum} to {maximum}.")
