"""Bugs that take a statement for each item of a batch, or lock its items in an order that others do not know."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode

BUGS = (
    Bug(
        number="35a",
        sentence="The holds of a batch are opened one by one",
        changes=(
            ReplaceCode(
                module="credits.ledger",
                within="hold_all",
                old="statements.open_holds(account.pk, amounts, together=together, reads=reads)",
                new=(
                    "[statements.open_holds(account.pk, {name: amount}, together=() if n else together, reads=reads)"
                    " for n, (name, amount) in enumerate(amounts.items())][0]"
                ),
            ),
        ),
        caught_by=("test_a_batch_of_200_takes_at_most_30_statements",),
    ),
    Bug(
        number="35b",
        sentence="A batch is cancelled one generation after another",
        changes=(
            ReplaceCode(
                module="generations.services",
                old="lifecycle.cancel_batch(batch, by=by, actor=actor)",
                new="None",
            ),
        ),
        caught_by=("test_a_batch_of_200_is_cancelled_in_30_statements",),
    ),
    Bug(
        number="35c",
        sentence="The notifications of a batch are written one by one",
        changes=(
            ReplaceCode(
                module="notifications.outbox",
                old="_write_deliveries(notified, has_settings=email_preference is not None)",
                new="[_write_deliveries([event], has_settings=True) for event in notified]",
            ),
        ),
        caught_by=("test_a_batch_of_200_is_cancelled_in_30_statements",),
    ),
    Bug(
        number="35d",
        sentence="The cancellation of a batch waits for a locked generation while it holds the others",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.statements",
                old='(", STATEMENT_TIMESTAMP()", "FOR NO KEY UPDATE SKIP LOCKED")',
                new='(", STATEMENT_TIMESTAMP()", "FOR NO KEY UPDATE")',
            ),
        ),
        caught_by=("test_a_generation_that_another_transaction_has_locked_follows_later",),
        database="postgresql",
    ),
)
