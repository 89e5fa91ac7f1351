"""Bugs that show when a clock is wrong, an outage was long, or the database or the storage is in trouble."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode

BUGS = (
    Bug(
        number="28a",
        sentence="Decisions use the clock of the process",
        changes=(ReplaceCode(module="database.clock", old="return _measured.now()", new="return timezone.now()"),),
        caught_by=(
            "test_now_is_the_time_of_the_database_whatever_the_process_has",
            "test_e14_an_order_and_a_batch_are_due_at_once",
            "test_e14_a_retention_rule_erases_nothing_early",
        ),
        database="postgresql",
    ),
    Bug(
        number="28b",
        sentence="A worker with a wrong clock goes on working",
        changes=(ReplaceCode(module="generations.workers.loops", old="clock.is_wrong()", new="False", matches=2),),
        caught_by=("test_e14_a_worker_with_a_wrong_clock_leaves_the_work_to_another",),
        database="postgresql",
    ),
)
