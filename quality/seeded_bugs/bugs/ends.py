"""Bugs of what outlasts a process: the leases of one that ends, and the alerts about what is still wrong."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode

LEASES = "generations.jobs.leases"
RULES = "operations.alert_rules"

BUGS = (
    Bug(
        number="24h",
        sentence="A process that ends waits for a locked row, and releases no other",
        changes=(
            ReplaceCode(
                module=LEASES,
                old="statements.update_unlocked(held, lease=None, leased_until=None)",
                new="[row for key, row in rows.items() if _any_of([key]).update(lease=None, leased_until=None)]",
            ),
        ),
        caught_by=("test_e2_a_locked_row_delays_the_release_of_no_other",),
        database="postgresql",
    ),
    Bug(
        number="24i",
        sentence="A row whose work has raised stays leased if its process ends at once",
        changes=(ReplaceCode(module=LEASES, old="{**_held, **_renewer.returned()}", new="dict(_held)"),),
        caught_by=("test_e2_a_row_that_waits_to_be_returned_is_released_as_well",),
    ),
    Bug(
        number="37c",
        sentence="The alert about a generation that is stuck ends after an hour",
        changes=(ReplaceCode(module=RULES, old="fact == 'stuck'", new="False"),),
        caught_by=("test_a_stuck_generation_raises_an_alert_until_it_has_ended",),
    ),
    Bug(
        number="37d",
        sentence="An incident before a long outage is never reported",
        changes=(
            ReplaceCode(
                module=RULES,
                old="max((last.seen_at if last else now) - statistics.HOUR, now - LOOK_BACK_MAX)",
                new="now - statistics.HOUR",
            ),
        ),
        caught_by=(
            "test_an_incident_before_a_long_outage_is_reported_afterwards",
            "test_an_orphan_callback_before_a_long_outage_is_reported_afterwards",
        ),
    ),
)
