"""Ends that are not final, holds that settle twice, books that do not add up."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug, Replaced, Unconstrained, Untriggered

LATE = "tests/generations/callbacks/test_callbacks.py::test_b8_a_late_duplicate_callback_charges_nothing"
LATE_ANSWER = "tests/generations/callbacks/test_callbacks.py::test_b18_a_late_answer_after_the_end_changes_nothing"
NEVER_CHANGES = "tests/generations/models/test_constraints.py::test_what_has_ended_never_changes"
SETTLES_ONCE = "tests/credits/test_refusals.py::test_a_hold_settles_once"
DATABASE_REFUSES = "tests/credits/test_constraints.py::test_the_database_refuses"
REFUSES_DELIVERY = "tests/generations/models/test_constraints.py::test_the_database_refuses"
PLACES = "tests/generations/lifecycle/test_transitions.py::test_a_fact_moves_an_order_from_certain_places_only"

MOVES_FROM_ANYWHERE = Replaced(
    file="generations/lifecycle/transitions.py",
    old="Generation.objects.filter(guard, pk=generation.pk)",
    new="Generation.objects.filter(pk=generation.pk)",
)
WITH_TRANSACTIONS = Replaced(
    file="generations/lifecycle/transitions.py",
    old="from django.db.models import F, Q",
    new="from django.db import transaction\nfrom django.db.models import F, Q",
)
NO_TRIGGER = Untriggered(app="generations", migration="0002_the_end_is_final")
# What has been told is told again, as if it had just come in.
TOLD_AGAIN = (
    Replaced(
        file="generations/callbacks/views.py",
        old="delivery.outcome != Delivery.Outcome.RECEIVED",
        new="delivery.outcome == Delivery.Outcome.ORPHAN",
    ),
    Replaced(file="generations/workers/callback_inbox.py", old="if not unheard.exists()", new="if delivery.pk is None"),
)
EACH_A_ROW = (
    Replaced(
        file="generations/callbacks/views.py",
        old="Delivery.objects.get_or_create(**identity, defaults=defaults)",
        new="Delivery.objects.create(**{**identity, **defaults}), True",
    ),
    Unconstrained(app="generations", model="delivery", name="generations_delivery_once"),
)
SETTLES_AGAIN = Replaced(
    file="credits/ledger.py",
    old="Hold.objects.filter(pk=hold.pk, settled_at=None)",
    new="Hold.objects.filter(pk=hold.pk)",
)
NO_SETTLES_ONCE = Unconstrained(app="credits", model="entry", name="credits_hold_settles_once")

BUGS = (
    Bug(
        number="1a",
        sentence="The lifecycle moves what has ended",
        changes=(MOVES_FROM_ANYWHERE,),
        caught_by=(LATE_ANSWER, PLACES),
    ),
    Bug(
        number="1b",
        sentence="The database lets a finished generation change",
        changes=(NO_TRIGGER,),
        caught_by=(NEVER_CHANGES,),
    ),
    Bug(
        number="1",
        sentence="No guard of terminal states at all",
        changes=(MOVES_FROM_ANYWHERE, NO_TRIGGER),
        caught_by=(LATE_ANSWER, NEVER_CHANGES, PLACES),
    ),
    Bug(
        number="2a",
        sentence="The inbox has no unique constraint",
        changes=(EACH_A_ROW[1],),
        caught_by=(REFUSES_DELIVERY,),
    ),
    Bug(
        number="2b",
        sentence="The inbox tells what was told while it waited for the lock",
        changes=(TOLD_AGAIN[1],),
        caught_by=("tests/generations/workers/test_callback_inbox.py::test_b7_what_was_told_is_not_told_again",),
    ),
    Bug(
        number="2c",
        sentence="What the inbox has told is told again",
        changes=TOLD_AGAIN,
        caught_by=(
            "tests/generations/workers/test_callback_inbox.py::test_b7_b15_a_repetition_does_not_make_us_ask_fal_again",
        ),
    ),
    Bug(
        number="2",
        sentence="The inbox takes every repetition for news",
        changes=(*EACH_A_ROW, *TOLD_AGAIN),
        caught_by=(
            "tests/generations/callbacks/test_callbacks.py::test_b7_a_replay_has_no_second_effect",
            REFUSES_DELIVERY,
        ),
    ),
    Bug(
        number="3a",
        sentence="The ledger settles a hold that is settled",
        changes=(SETTLES_AGAIN,),
        caught_by=(SETTLES_ONCE,),
    ),
    Bug(
        number="3b",
        sentence="The database lets a hold settle twice",
        changes=(NO_SETTLES_ONCE,),
        caught_by=(DATABASE_REFUSES,),
    ),
    Bug(
        number="3",
        sentence="A hold may settle more than once",
        changes=(SETTLES_AGAIN, NO_SETTLES_ONCE),
        caught_by=(SETTLES_ONCE, DATABASE_REFUSES),
    ),
    Bug(
        number="4",
        sentence="1 to 3 together, late duplicates on",
        changes=(MOVES_FROM_ANYWHERE, NO_TRIGGER, *EACH_A_ROW, *TOLD_AGAIN, SETTLES_AGAIN, NO_SETTLES_ONCE),
        caught_by=(LATE, LATE_ANSWER),
    ),
    Bug(
        number="5",
        sentence="A balance is changed outside its entry's transaction",
        changes=(
            Replaced(
                file="credits/ledger.py",
                old="@transaction.atomic\ndef capture(",
                new="def capture(",
            ),
            Replaced(file="credits/ledger.py", old="@transaction.atomic\ndef hold(", new="def hold("),
        ),
        caught_by=("tests/credits/test_atomicity.py::test_nothing_is_written_without_the_entry",),
    ),
    Bug(
        number="5b",
        sentence="Postings of one key do not wait for each other",
        changes=(Replaced(file="credits/ledger.py", old="    _lock(account)\n    if", new="    if"),),
        caught_by=("tests/credits/test_races.py::test_a_repetition_waits_for_the_first_and_answers_the_same",),
        database="postgresql",
    ),
    Bug(
        number="17",
        sentence="A part of the files is charged rounded up",
        changes=(
            Replaced(
                file="generations/lifecycle/charging_rules.py",
                old="credits * (delivered - flagged) // promised",
                new="-(-credits * (delivered - flagged) // promised)",
            ),
        ),
        caught_by=(
            "tests/generations/lifecycle/test_storing.py::test_d10_a_part_of_the_files_costs_a_part_of_the_price_rounded_down",
        ),
    ),
    Bug(
        number="19",
        sentence="What customers are told is written down after the commit",
        changes=(
            Replaced(
                file="generations/lifecycle/transitions.py",
                old="    outbox.post(generation, fact, held_change=held_change)",
                new="    transaction.on_commit(lambda: outbox.post(generation, fact, held_change=held_change))",
            ),
            WITH_TRANSACTIONS,
        ),
        caught_by=("tests/notifications/test_outbox.py::test_h11_what_was_rolled_back_is_not_told",),
    ),
    Bug(
        number="19a",
        sentence="The timeline is written after the commit",
        changes=(
            Replaced(
                file="generations/lifecycle/transitions.py",
                old="    Event.objects.create(\n        generation=generation,",
                new="    line = Event(\n        generation=generation,",
            ),
            Replaced(
                file="generations/lifecycle/transitions.py",
                old="        **details,\n    )\n",
                new="        **details,\n    )\n    transaction.on_commit(line.save)\n",
            ),
            WITH_TRANSACTIONS,
        ),
        caught_by=(
            "tests/generations/lifecycle/test_atomicity.py::test_a_fact_is_told_before_its_transaction_ends",
            "tests/generations/lifecycle/test_atomicity.py::test_a_fact_that_cannot_be_told_has_not_happened",
        ),
    ),
)
