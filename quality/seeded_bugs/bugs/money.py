"""Bugs that change a finished generation, settle a hold twice, or leave the ledger inconsistent."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import RemoveConstraint, RemoveTrigger, ReplaceCode, ReplaceText

LEDGER = "credits.ledger"
TRANSITIONS = "generations.lifecycle.transitions"
IMPORT_TRANSACTION = "from django.db import transaction"

LATE_DUPLICATE = "test_b8_a_callback_that_is_repeated_after_the_end_charges_nothing"
LATE_ANSWER = "test_b18_an_answer_after_the_end_changes_nothing"
NEVER_CHANGES = "test_the_result_and_the_price_of_an_ended_generation_never_change"
ALLOWED_PHASES = "test_a_fact_changes_a_generation_only_in_certain_phases"
SETTLES_ONCE = "test_a_hold_settles_once"
LEDGER_CONSTRAINTS = "tests/credits::test_the_database_refuses"
CALLBACK_CONSTRAINTS = "tests/generations::test_the_database_enforces_each_constraint"

MOVE_FROM_ANY_PHASE = ReplaceCode(
    module=TRANSITIONS,
    within="move",
    old="generation.phase not in (CAME_FROM[to] if only_from is None else only_from)",
    new="False",
)
NO_FINAL_TRIGGER = RemoveTrigger(app="generations", table="generations_generation", kind="final")
APPLY_AGAIN = ReplaceText(
    module="generations.workers.statements", old="WHERE callback.outcome = 'received' {", new="WHERE 1 = 1 {"
)
STORE_EACH_REPEAT = ReplaceText(
    module="generations.callbacks.statements",
    old="""
    ON CONFLICT (submission_id, body_sha256) WHERE submission_id IS NOT NULL
        DO UPDATE SET repeats = generations_providercallback.repeats + 1""",
    new="",
)
NO_CALLBACK_CONSTRAINT = RemoveConstraint(app="generations", model="providercallback", name="generations_callback_once")
NO_OUTPUT_CONSTRAINT = RemoveConstraint(app="generations", model="output", name="generations_output_index_once")
SETTLE_AGAIN = ReplaceText(
    module="credits.statements", old="reference = %s AND settled_at IS NULL", new="reference = %s"
)
NO_SETTLE_CONSTRAINT = RemoveConstraint(app="credits", model="entry", name="credits_hold_settles_once")

BUGS = (
    Bug(
        number="1a",
        sentence="The lifecycle changes a finished generation",
        changes=(MOVE_FROM_ANY_PHASE,),
        caught_by=(LATE_ANSWER, ALLOWED_PHASES),
    ),
    Bug(
        number="1b",
        sentence="The database allows changes of a finished generation",
        changes=(NO_FINAL_TRIGGER,),
        caught_by=(NEVER_CHANGES,),
    ),
    Bug(
        number="1",
        sentence="Nothing protects a finished generation",
        changes=(MOVE_FROM_ANY_PHASE, NO_FINAL_TRIGGER),
        caught_by=(LATE_ANSWER, NEVER_CHANGES, ALLOWED_PHASES),
    ),
    Bug(
        number="2a",
        sentence="The callback table has no unique constraint",
        changes=(NO_CALLBACK_CONSTRAINT,),
        caught_by=(CALLBACK_CONSTRAINTS,),
    ),
    Bug(
        number="2b",
        sentence="A callback that was applied is applied again",
        changes=(APPLY_AGAIN,),
        caught_by=(
            "test_b7_a_processed_callback_is_not_processed_again",
            "test_b7_b15_a_repeated_callback_without_a_verdict_does_not_make_the_row_due",
        ),
    ),
    Bug(
        number="2",
        sentence="Every repeated callback is stored and applied as a new one",
        changes=(STORE_EACH_REPEAT, NO_CALLBACK_CONSTRAINT, APPLY_AGAIN),
        caught_by=("test_b7_a_repeated_callback_has_no_second_effect", CALLBACK_CONSTRAINTS),
    ),
    Bug(
        number="3a",
        sentence="The ledger settles a settled hold",
        changes=(SETTLE_AGAIN,),
        caught_by=(SETTLES_ONCE,),
    ),
    Bug(
        number="3b",
        sentence="The database allows a second settlement of a hold",
        changes=(NO_SETTLE_CONSTRAINT,),
        caught_by=(LEDGER_CONSTRAINTS,),
    ),
    Bug(
        number="3",
        sentence="A hold can be settled more than once",
        changes=(SETTLE_AGAIN, NO_SETTLE_CONSTRAINT),
        caught_by=(SETTLES_ONCE, LEDGER_CONSTRAINTS),
    ),
    Bug(
        number="4",
        sentence="Bugs 1 to 3 together, with late duplicates, whose files are stored once more",
        changes=(
            NO_OUTPUT_CONSTRAINT,
            MOVE_FROM_ANY_PHASE,
            NO_FINAL_TRIGGER,
            STORE_EACH_REPEAT,
            NO_CALLBACK_CONSTRAINT,
            APPLY_AGAIN,
            SETTLE_AGAIN,
            NO_SETTLE_CONSTRAINT,
        ),
        caught_by=(LATE_DUPLICATE, LATE_ANSWER),
    ),
    Bug(
        number="5",
        sentence="A balance is changed outside the transaction of its ledger entry",
        changes=(
            ReplaceCode(
                module="database.statements",
                old="transaction.atomic(savepoint=False)",
                new="nullcontext()",
                imports="from contextlib import nullcontext",
            ),
        ),
        caught_by=("test_nothing_is_written_without_the_entry",),
    ),
    Bug(
        number="5b",
        sentence="Postings with one key do not wait for each other",
        changes=(ReplaceCode(module=LEDGER, within="_post", old="_lock(account)", new="None"),),
        caught_by=("test_a_repetition_waits_for_the_first_and_answers_the_same",),
        database="postgresql",
    ),
    Bug(
        number="17",
        sentence="The charge for a part of the files is rounded up",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.charging_rules",
                old="credits * (delivered - flagged) // promised",
                new="-(-credits * (delivered - flagged) // promised)",
            ),
        ),
        caught_by=("test_d10_a_part_of_the_files_costs_a_part_of_the_price_rounded_down",),
    ),
    Bug(
        number="19",
        sentence="Notifications are written after the commit",
        changes=(
            ReplaceCode(
                module=TRANSITIONS,
                old="events_recorded([event], values)",
                new="transaction.on_commit(lambda: events_recorded([event], values))",
                imports=IMPORT_TRANSACTION,
            ),
            ReplaceCode(
                module=TRANSITIONS,
                old="events_recorded([event], read_values(reads_of(event.account_id)))",
                new="transaction.on_commit(lambda: events_recorded([event], read_values(reads_of(event.account_id))))",
            ),
        ),
        caught_by=("test_h11_an_event_that_is_rolled_back_causes_no_delivery",),
    ),
    Bug(
        number="19a",
        sentence="The timeline is written after the commit",
        changes=(
            ReplaceCode(
                module=TRANSITIONS,
                old="[Insert([event])] if event else []",
                new="[event and transaction.on_commit(event.save)][:0]",
                imports=IMPORT_TRANSACTION,
            ),
        ),
        caught_by=(
            "test_the_event_of_a_fact_is_written_before_its_transaction_ends",
            "test_a_fact_whose_event_cannot_be_written_changes_nothing",
        ),
    ),
    Bug(
        number="23",
        sentence="The end of a generation locks its account after its spending",
        changes=(
            ReplaceText(
                module="generations.lifecycle.ending",
                old="    ledger.release(generation.reference)\n    failpoints",
                new="    failpoints",
            ),
            ReplaceText(
                module="generations.lifecycle.ending",
                old="    if had_outputs:\n",
                new="    ledger.release(generation.reference)\n    if had_outputs:\n",
            ),
        ),
        caught_by=("test_an_order_is_placed_while_another_job_of_the_account_ends",),
        database="postgresql",
    ),
)
