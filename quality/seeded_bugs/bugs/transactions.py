"""Bugs that let transactions wait for each other, lose what fal has said, or deny an order that exists."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode, ReplaceText

PLACING = "generations.lifecycle.placing"
SUBMITTER = "generations.workers.submitter"

BUGS = (
    Bug(
        number="29a",
        sentence="An order locks its account against rows that refer to it",
        changes=(ReplaceText(module="credits.statements", old=" FOR NO KEY UPDATE", new=" FOR UPDATE"),),
        caught_by=(
            "test_the_erasure_does_not_wait_for_the_account",
            "test_every_row_lock_is_for_no_key_update",
        ),
        database="postgresql",
    ),
    Bug(
        number="29b",
        sentence="An order takes its place in the rate limit before it waits for its account",
        changes=(
            ReplaceCode(
                module=PLACING,
                within="_order",
                old="lock_account(account)",
                new="(dispatch_queue.acquire() if send else None, lock_account(account))",
            ),
        ),
        caught_by=("test_delays_no_order_of_another_account",),
        database="postgresql",
    ),
    Bug(
        number="29c",
        sentence="A submission waits for its account in COMMIT, with the rate limit locked",
        changes=(
            ReplaceCode(
                module=SUBMITTER,
                within="_begin",
                old="foreign_keys_checked_at_once()",
                new="nullcontext()",
                imports="from contextlib import nullcontext",
            ),
        ),
        caught_by=("test_delays_no_submission_of_another_account",),
        database="postgresql",
    ),
    Bug(
        number="29d",
        sentence="fal's receipt is lost if its row was locked for too long",
        changes=(ReplaceCode(module="database.transactions", old="TIMES = 3", new="TIMES = 1"),),
        caught_by=("test_is_recorded_although_the_row_was_locked",),
        database="postgresql",
    ),
    Bug(
        number="29e",
        sentence="fal's receipt is lost with a deadlock",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.submitting",
                within="_submitted_if_unchanged",
                old="if not is_passing(error): raise",
                new="raise",
            ),
        ),
        caught_by=("test_is_recorded_although_it_was_in_a_deadlock",),
        database="postgresql",
    ),
    Bug(
        number="29f",
        sentence="The inbox locks a callback before its generation, and an erasure the other way round",
        changes=(
            ReplaceText(
                module="generations.workers.statements",
                old="FOR NO KEY UPDATE OF generation, callback",
                new="FOR NO KEY UPDATE OF callback, generation",
            ),
        ),
        caught_by=("test_the_inbox_locks_the_generation_first",),
        database="postgresql",
    ),
    Bug(
        number="29g",
        sentence="Behind PgBouncer nothing ends the wait for a lock",
        changes=(
            ReplaceCode(
                module="database.timeouts",
                old="self._set_locally + transactions.beginning()",
                new="transactions.beginning()",
            ),
        ),
        caught_by=("test_a_transaction_has_the_settings_that_pgbouncer_has_dropped",),
        database="postgresql",
    ),
    Bug(
        number="34a",
        sentence="An order whose receipt could not be recorded is answered 503",
        changes=(
            ReplaceCode(
                module="generations.services",
                old="return PlacedOrder(generation=as_committed, is_new=True)",
                new="raise",
            ),
        ),
        caught_by=("test_a_committed_order_is_accepted_whatever_follows[order-outage]",),
    ),
    Bug(
        number="34b",
        sentence="An order that was committed and cannot be read is answered 503",
        changes=(
            ReplaceCode(
                module="generations.api.generations",
                within="_order_response",
                old="if not placed.is_new: raise",
                new="raise",
            ),
        ),
        caught_by=("test_a_committed_order_is_accepted_whatever_follows[order_and_wait-error]",),
    ),
    Bug(
        number="34c",
        sentence="A batch that was committed and cannot be read is answered 503",
        changes=(
            ReplaceCode(
                module="generations.api.batches",
                within="order_response",
                old="if not is_new: raise",
                new="raise",
            ),
        ),
        caught_by=("test_a_committed_order_is_accepted_whatever_follows[batch-error]",),
    ),
    Bug(
        number="34d",
        sentence="An order whose connection was lost in COMMIT is answered 503, although it exists",
        changes=(ReplaceCode(module=PLACING, old="_is_committed(account, placed[0])", new="False"),),
        caught_by=("test_an_order_that_exists_is_accepted",),
        database="postgresql",
    ),
    Bug(
        number="34e",
        sentence="fal's record is waited for although nothing was sent",
        changes=(
            ReplaceCode(
                module=SUBMITTER,
                old="lifecycle.not_sent(submission, detail=f'{type(error).__name__}: {error}')",
                new="pass",
            ),
        ),
        caught_by=("test_a_submission_that_could_not_be_prepared_is_made_again_at_once",),
    ),
)
