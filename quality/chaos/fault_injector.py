"""Injects the environment faults of a plan, one after the other, and repairs each before the next.

`FaultPlan.environment_faults` names the active ones. Each group of faults has a module of its own; their names are the
keys of `FaultInjector.faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
from django.db import DatabaseError

from credits import ledger
from credits.ledger import LedgerError
from credits.models import Account
from quality.chaos.database_faults import DatabaseFaults
from quality.chaos.fault_context import FaultContext, Faults
from quality.chaos.fault_plan import FaultPlan
from quality.chaos.outage_faults import OutageFaults
from quality.chaos.process_faults import ProcessFaults
from quality.chaos.service_faults import ServiceFaults
from quality.chaos.strangers import Strangers


@dataclass
class FaultInjector:
    """Injects faults in one thread."""

    context: FaultContext
    plan: FaultPlan
    strangers: Strangers
    pause_seconds: tuple[float, float]
    """The shortest and the longest pause between two faults."""

    def run(self) -> None:
        context, faults = self.context, self.faults()
        waiting: list[str] = []
        if not self.plan.environment_faults:
            # `--only` names none.
            return
        while not context.stop.wait(context.rng.uniform(*self.pause_seconds)):
            # Each fault strikes once before any strikes twice, in an order that the seed determines.
            waiting = waiting or context.rng.sample(self.plan.environment_faults, len(self.plan.environment_faults))
            name = waiting.pop()
            with (context.environment.folder / "faults.log").open("a") as log:
                log.write(f"{datetime.now(UTC).isoformat()} {name}\n")
            try:
                faults[name]()
            except psycopg.OperationalError:
                # PostgreSQL is recovering from the crash before.
                context.counters.count_event("environment faults that found PostgreSQL unavailable")
            context.counters.count_fault(name)

    def faults(self) -> Faults:
        """Return every environment fault by its name. Each returns when it is repaired."""
        groups = (ProcessFaults, DatabaseFaults, ServiceFaults, OutageFaults)
        found: Faults = {"adjusted by staff": self.adjust_balance, "stranger's files": self.strangers.put_files}
        for group in groups:
            found |= group(self.context).faults()
        return found

    def repair(self) -> None:
        """End every fault: from here on the environment works."""
        environment = self.context.environment
        for proxy in environment.proxies.values():
            proxy.set_mode("pass")
        environment.control_simulator("clear")
        environment.control_simulator("jwks", mode="ok")
        # Without their file, no failpoint strikes any more.
        environment.failpoint_file.unlink()
        for process in environment.limn_processes:
            process.resume()

    def adjust_balance(self) -> None:
        """Change a balance by hand, as staff do, while orders are paid from it."""
        change = self.context.rng.choice((-50, -7, 7, 500))
        try:
            account = Account.objects.get(pk=self.context.draw_account())
            # Twice, as after a double click; each has its own key.
            for _ in range(2):
                ledger.adjust(account, change, key=f"chaos:{uuid4()}", actor="chaos", reason="a chaos run")
        except (LedgerError, DatabaseError):
            self.context.counters.count_event("adjustments refused")
