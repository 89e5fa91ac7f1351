"""Faults of the whole installation: outages that are longer than every deadline, and a restore from a dump.

An outage of hours is simulated: while no process runs, the times of unfinished rows and of fal's record are moved into
the past. fal's results are kept; real fal deletes them after an hour at the earliest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import psycopg
from django.db import connections
from psycopg import sql

from quality.chaos import losses
from quality.chaos.environment import ROLE
from quality.chaos.fault_context import FaultContext, Faults
from quality.chaos.installation import Installation
from quality.chaos.storage_checks import content_of

MINUTE, HOUR = 60, 3600
# Longer than every deadline, and than what fal and Limn wait for each other.
LONGEST = 30 * HOUR
UNFINISHED = "SELECT id FROM generations_generation WHERE phase <> 'done'"
# The rows whose times are moved, by their table.
MOVED_ROWS = {
    "generations_generation": "phase <> 'done'",
    "generations_submission": f"generation_id IN ({UNFINISHED})",
    "generations_output": f"generation_id IN ({UNFINISHED})",
    "generations_providercallback": "outcome = 'received'",
    "generations_erasure": "done_at IS NULL",
}
# What an account has spent in a day is summed by this column, and nothing is decided by it.
KEPT_COLUMN = ("generations_generation", "created_at")
TIME_COLUMNS = (
    "SELECT column_name FROM information_schema.columns "
    "WHERE table_name = %s AND data_type = 'timestamp with time zone'"
)


@dataclass
class OutageFaults:
    """Faults during which no process of the installation runs."""

    context: FaultContext

    def faults(self) -> Faults:
        return {
            "outage of 20 minutes": partial(self.suffer_outage, 20 * MINUTE),
            "outage of 3 hours": partial(self.suffer_outage, 3 * HOUR),
            "outage of 30 hours": partial(self.suffer_outage, LONGEST),
            "restore from a dump": self.restore_dump,
        }

    def suffer_outage(self, seconds: int) -> None:
        """End all processes, let the outage pass, and start them again. fal goes on meanwhile."""
        limn = self.context.environment.limn
        limn.halt(by_kill=self.context.rng.random() < 0.5)
        self.context.wait()
        self._pass_time(limn, seconds)
        limn.start_again()

    def pass_deadlines(self) -> None:
        """Let both installations be down until every deadline has passed."""
        environment = self.context.environment
        for installation in filter(None, (environment.limn, environment.neighbour)):
            installation.halt(by_kill=False)
            self._pass_time(installation, LONGEST)
            installation.start_again()

    def restore_dump(self) -> None:
        """Replace the database by a dump that is some seconds old, as after the loss of a disk."""
        context, environment = self.context, self.context.environment
        database, file = environment.limn.database, environment.folder / "dump"
        environment.postgres.dump(database, file)
        # What is done from here on will be lost.
        context.wait()
        with context.gate.closed():
            environment.limn.halt(by_kill=context.rng.random() < 0.5)
            url = environment.postgres.url_of(database)
            before = losses.read(url)
            # The restore ends all connections. This thread opens another one when it needs it.
            connections.close_all()
            environment.postgres.restore(database, file, owner=ROLE)
            after = losses.read(url)
            context.losses.add(before, after)
            context.losses.files_at_restore |= content_of(environment.bucket).objects
            context.losses.last_callback = max((row.number for row in environment.simulator_log.callbacks()), default=0)
            for client in context.clients:
                client.known.forget_lost(after)
            context.forget_snapshots()
            # The mark in the bucket is newer than the database, as the operator is told when the processes start.
            environment.limn.run_command("claim_storage")
            environment.limn.start_again()
        context.counters.count_event("generations lost by a restore", len(before.versions) - len(after.versions))

    def _pass_time(self, installation: Installation, seconds: int) -> None:
        """Move the times of unfinished rows, and of their jobs in fal's record, into the past."""
        environment = self.context.environment
        environment.control_simulator("age", seconds=seconds, webhook_url=installation.site_url)
        with psycopg.connect(environment.postgres.url_of(installation.database)) as connection:
            for table, condition in MOVED_ROWS.items():
                # Read from the database, so that a column of tomorrow is moved as well.
                columns = [name for (name,) in connection.execute(TIME_COLUMNS, [table]).fetchall()]
                changes = [
                    sql.SQL("{0} = {0} - make_interval(secs => {1})").format(sql.Identifier(name), sql.Literal(seconds))
                    for name in columns
                    if (table, name) != KEPT_COLUMN
                ]
                statement = sql.SQL("UPDATE {} SET {} WHERE " + condition)  # noqa: S608  (constants of this module)
                connection.execute(statement.format(sql.Identifier(table), sql.SQL(", ").join(changes)))
