"""The SQL of the ledger: a hold is opened in one statement, and settled in one.

Through the ORM each takes four, and an account's row stays locked for all of their round trips. Both find their rows by
unique indexes: the account's primary key, and the reference of the hold. `tests/credits/test_statements.py` compares
the rows that they write with those that the ORM would write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from credits.models import Account, Hold
from database import clock, prepared
from database.columns import Columns
from database.statements import Read, Row, Step, Write, execute_together, to_database
from database.vendor import vendor

# Of several holds each entry shows what was available after it. The references are conditions for SQLite, where the
# last step reads the whole table.
_INSERT_HOLD_ENTRIES = """
    INSERT INTO credits_entry (account_id, hold_id, kind, balance_change, held_change, counter_side, actor, reason,
        available_after, created_at)
    SELECT hold.account_id, hold.id, 'hold', 0, hold.amount, '', '', '',
        account.balance - account.held + %s - SUM(hold.amount) OVER (ORDER BY hold.id), %s
    FROM {hold} hold JOIN {account} account ON account.id = hold.account_id
    WHERE hold.reference IN ({references})"""


_ACCOUNT = Columns(Account, alias="credits_account")
_HOLD = Columns(Hold, alias="credits_hold")
_KIND_OF_CAPTURE = "CASE WHEN hold.captured = 0 AND hold.amount > 0 THEN 'release' ELSE 'capture' END"


def lock(account_id: int) -> Account:
    """Lock the row of an account until the transaction ends, and return it.

    The lock does not conflict with rows that refer to it: other transactions insert events and entries meanwhile. The
    plan is the primary key. SQLite locks the whole database instead.
    """
    sql = f"SELECT {_ACCOUNT.sql} FROM credits_account WHERE id = %s"
    row = prepared.fetch_one(sql + (" FOR NO KEY UPDATE" if vendor() == "postgresql" else ""), [account_id])
    if row is None:
        raise Account.DoesNotExist(f"There is no account {account_id}.")
    return _ACCOUNT.read(row)


def open_holds(
    account_id: int, amounts: Mapping[str, int], *, together: Sequence[Step] = (), reads: Sequence[Read] = ()
) -> Row | None:
    """Reserve credits of an account, one amount for each reference. All of them, or none.

    One UPDATE checks the balance and changes it, so concurrent holds cannot spend the same credits twice.

    Args:
        together: What else to write in the same statement.
        reads: What to read in it.

    Returns:
        The values of `reads`; None if fewer credits are available, or one of the references has a hold.
    """
    now, total = to_database(clock.now()), sum(amounts.values())
    references = ", ".join(["%s"] * len(amounts))
    account = Write(
        f"""
        UPDATE credits_account SET held = held + %s
        WHERE id = %s AND balance - held >= %s
            AND NOT EXISTS (SELECT 1 FROM credits_hold WHERE reference IN ({references}))
        RETURNING id, balance, held""",
        [total, account_id, total, *amounts],
        name="account",
        table="credits_account",
    )
    values = ", ".join(["(%s, CAST(%s AS bigint))"] * len(amounts))
    hold = Write(
        f"""
        INSERT INTO credits_hold (account_id, reference, amount, captured, released, refunded, opened_at)
        SELECT account.id, wanted.column1, wanted.column2, 0, 0, 0, %s
        FROM {{account}} account, (VALUES {values}) wanted WHERE account.id = %s
        RETURNING id, account_id, reference, amount""",
        [now, *(value for pair in amounts.items() for value in pair), account_id],
        name="hold",
        table="credits_hold",
    )
    entries = Write(_INSERT_HOLD_ENTRIES.replace("{references}", references), [total, now, *amounts])
    opened = execute_together(account, hold, entries, *together, reads=reads)
    if not opened:
        return None
    _id, _balance, _held, *found = opened[0]
    return tuple(found)


def settle_hold(reference: str, *, captured: int | None, is_release: bool) -> Hold | None:
    """Close an open hold: charge `captured` of its credits, release the rest.

    Of concurrent settlements one finds the hold open. Should this condition ever be lost, the unique constraint
    `credits_hold_settles_once` refuses the second entry.

    Args:
        captured: Credits to charge; None charges the whole hold.
        is_release: Whether the statement shows it as a release, even if the hold reserved nothing.

    Returns:
        The settled hold; None if it is not open, or smaller than `captured`.
    """
    now = to_database(clock.now())
    # What was captured becomes revenue; without a capture no credits leave the account, and there is no other side.
    # Charging nothing of a hold that set credits aside is a release, and the customer's statement shows it as one.
    kind = "'release'" if is_release else _KIND_OF_CAPTURE
    hold = Write(
        """
        UPDATE credits_hold SET captured = COALESCE(CAST(%s AS bigint), amount),
            released = amount - COALESCE(CAST(%s AS bigint), amount), settled_at = %s
        WHERE reference = %s AND settled_at IS NULL AND amount >= COALESCE(CAST(%s AS bigint), 0)
        RETURNING """
        + _HOLD.sql,
        [captured, captured, now, reference, captured],
        name="hold",
        table="credits_hold",
    )
    account = Write(
        """
        UPDATE credits_account SET balance = balance - hold.captured, held = held - hold.amount
        FROM {hold} hold WHERE credits_account.id = hold.account_id AND hold.reference = %s
        RETURNING credits_account.id, credits_account.balance, credits_account.held""",
        [reference],
        name="account",
        table="credits_account",
    )
    entry = Write(
        f"""
        INSERT INTO credits_entry (account_id, hold_id, kind, balance_change, held_change, counter_side, actor, reason,
            available_after, created_at)
        SELECT hold.account_id, hold.id, {kind}, -hold.captured, -hold.amount,
            CASE WHEN hold.captured > 0 THEN 'revenue' ELSE '' END, '', '', account.balance - account.held, %s
        FROM {{hold}} hold JOIN {{account}} account ON account.id = hold.account_id WHERE hold.reference = %s""",
        [now, reference],
    )
    settled = execute_together(hold, account, entry)
    return _HOLD.read(settled[0]) if settled else None


def release_holds(references: Sequence[str]) -> int:
    """Close open holds of one account, and give all their credits back. Returns how many were open.

    If that is not all of them, the caller must roll back. The plan is the unique index of references. The references
    and the time are conditions of each step for SQLite, where a step reads the whole table.
    """
    now, named = to_database(clock.now()), ", ".join(["%s"] * len(references))
    hold = Write(
        f"""
        UPDATE credits_hold SET captured = 0, released = amount, settled_at = %s
        WHERE reference IN ({named}) AND settled_at IS NULL
        RETURNING id, account_id, amount, reference, settled_at""",
        [now, *references],
        name="hold",
        table="credits_hold",
    )
    account = Write(
        f"""
        UPDATE credits_account SET held = held - released.credits
        FROM (
            SELECT account_id, SUM(amount) AS credits FROM {{hold}} WHERE reference IN ({named}) AND settled_at = %s
            GROUP BY account_id
        ) released
        WHERE credits_account.id = released.account_id
        RETURNING credits_account.id, credits_account.balance, credits_account.held""",
        [*references, now],
        name="account",
        table="credits_account",
    )
    # Each entry shows what was available after it: what is available now, less what the later ones have released.
    entries = Write(
        f"""
        INSERT INTO credits_entry (account_id, hold_id, kind, balance_change, held_change, counter_side, actor, reason,
            available_after, created_at)
        SELECT hold.account_id, hold.id, 'release', 0, -hold.amount, '', '', '',
            account.balance - account.held + hold.amount - SUM(hold.amount) OVER (ORDER BY hold.id DESC), %s
        FROM {{hold}} hold JOIN {{account}} account ON account.id = hold.account_id
        WHERE hold.reference IN ({named}) AND hold.settled_at = %s ORDER BY hold.id""",
        [now, *references, now],
    )
    return len(execute_together(hold, account, entries))
