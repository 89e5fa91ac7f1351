"""Injects the environment faults of a plan, one after the other, and repairs each before the next.

The faults strike processes, PostgreSQL, S3, fal, fal's signing keys, and accounts. `FaultPlan.environment_faults`
names the active ones; the names are the keys of `FaultInjector.faults`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import psycopg
from django.db import DatabaseError

from credits import ledger
from credits.ledger import LedgerError
from credits.models import Account
from quality.chaos.counters import Counters
from quality.chaos.environment import Environment
from quality.chaos.fault_plan import FaultPlan
from quality.chaos.processes import ManagedProcess

# The copier's lease, which is the shortest: a process that is paused for longer has lost its leases.
LEASE_SECONDS = 15.0
# Longer than the lock_timeout of Limn's connections.
LOCK_SECONDS = 4.5
S3_BUSY = (
    "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: 76\r\n\r\n"
    "<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>-</Message></Error>"
)
S3_DENIED = S3_BUSY.replace("503 Slow Down", "403 Forbidden").replace("SlowDown", "AccessDenied").replace("76", "80")


@dataclass
class FaultInjector:
    """Injects faults in one thread."""

    environment: Environment
    plan: FaultPlan
    counters: Counters
    rng: random.Random
    stop: threading.Event
    account_ids: list[int]
    """Accounts that can be locked and adjusted."""
    pause_seconds: tuple[float, float]
    """The shortest and the longest pause between two faults."""
    fault_seconds: tuple[float, float]
    """The shortest and the longest duration of a fault."""

    def run(self) -> None:
        faults = self.faults()
        waiting: list[str] = []
        while not self.stop.wait(self.rng.uniform(*self.pause_seconds)):
            # Each fault strikes once before any strikes twice, in an order that the seed determines.
            waiting = waiting or self.rng.sample(self.plan.environment_faults, len(self.plan.environment_faults))
            name = waiting.pop()
            with (self.environment.folder / "faults.log").open("a") as log:
                log.write(f"{datetime.now(UTC).isoformat()} {name}\n")
            try:
                faults[name]()
            except psycopg.OperationalError:
                # PostgreSQL is recovering from the crash before.
                self.counters.count_event("environment faults that found PostgreSQL unavailable")
            self.counters.count_fault(name)

    def faults(self) -> dict[str, Callable[[], object]]:
        """Return every environment fault by its name. Each returns when it is repaired."""
        environment, web = self.environment, self.environment.web
        return {
            "kill -9 worker": lambda: self._worker().kill(),
            "kill -9 web": web.kill,
            "kill -9 web child": web.kill_child,
            "SIGTERM worker": lambda: self.terminate(self._worker()),
            "SIGTERM web": lambda: self.terminate(web),
            "SIGSTOP worker": lambda: self.pause(self._worker(), LEASE_SECONDS * self.rng.uniform(1.2, 3)),
            "SIGSTOP web": lambda: self.pause(web, LEASE_SECONDS),
            "PostgreSQL crash": environment.postgres.crash,
            "PostgreSQL terminates backends": self.terminate_backends,
            "PostgreSQL locked rows": self.lock_rows,
            **{f"PostgreSQL {mode}": partial(self.disturb, "PostgreSQL", mode) for mode in ("blackhole", "reset")},
            # Each query is a round trip of its own, so even 20 ms a chunk make a request take seconds.
            "PostgreSQL delay": partial(self.disturb, "PostgreSQL", "delay", seconds=0.02),
            **{f"S3 {mode}": partial(self.disturb, "S3", mode) for mode in ("reset", "blackhole", "cut", "delay")},
            "S3 503": partial(self.disturb, "S3", "respond", response=S3_BUSY),
            "S3 403": partial(self.disturb, "S3", "respond", response=S3_DENIED),
            **{f"fal {mode}": partial(self.disturb, "fal", mode) for mode in ("reset", "blackhole", "cut", "delay")},
            "fal locks the account": self.lock_fal_account,
            "JWKS down": partial(self.break_keys, "down"),
            "JWKS garbage": partial(self.break_keys, "garbage"),
            "JWKS rotated": partial(environment.control_simulator, "rotate", keep_previous=True),
            "JWKS rotated, old key removed": partial(environment.control_simulator, "rotate", keep_previous=False),
            "adjusted by staff": self.adjust_balance,
        }

    def repair(self) -> None:
        """End every fault: from here on the environment works."""
        for proxy in self.environment.proxies.values():
            proxy.set_mode("pass")
        self.environment.control_simulator("clear")
        self.environment.control_simulator("jwks", mode="ok")
        # Without their file, no failpoint strikes any more.
        self.environment.failpoint_file.unlink()
        for process in self.environment.limn_processes:
            process.resume()

    def _worker(self) -> ManagedProcess:
        return self.rng.choice(self.environment.worker_processes)

    def terminate(self, process: ManagedProcess) -> None:
        """Send SIGTERM: the process must end within the time that a service manager gives it (E2)."""
        if not process.terminate():
            self.counters.add_violation("E2", f"{process.name} had not ended 30 s after SIGTERM")

    def pause(self, process: ManagedProcess, seconds: float) -> None:
        """Stop a process for so long that its leases run out, and let it go on with work that it has lost."""
        process.pause()
        self.stop.wait(seconds / self.environment.time_scale)
        process.resume()

    def disturb(self, service: str, mode: str, **details: object) -> None:
        """Set the mode of the proxy in front of a service for the duration of a fault."""
        proxy = self.environment.proxies[service]
        proxy.set_mode(mode, **{"seconds": 0.5, "bytes": self.rng.choice((0, 100, 2000)), **details})
        self._wait()
        proxy.set_mode("pass")

    def break_keys(self, mode: str) -> None:
        """Make fal's signing keys unavailable or unreadable for the duration of a fault."""
        self.environment.control_simulator("jwks", mode=mode)
        self._wait()
        self.environment.control_simulator("jwks", mode="ok")

    def lock_fal_account(self) -> None:
        """Make fal refuse every submission, as it does while the account is locked or has no credit."""
        refusal = self.rng.choice(("status:403", "status:401", "status:402"))
        self.environment.control_simulator("always", scenarios=[refusal])
        self._wait()
        self.environment.control_simulator("clear")

    def terminate_backends(self) -> None:
        """End every connection to PostgreSQL, in the middle of whatever it does."""
        with psycopg.connect(self.environment.postgres.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def lock_rows(self) -> None:
        """Lock some generations and an account for longer than Limn waits for a lock."""
        with psycopg.connect(self.environment.postgres.url) as connection:
            connection.execute(
                "SELECT id FROM generations_generation WHERE phase <> 'done' ORDER BY random() LIMIT 20 FOR UPDATE"
            )
            account_id = self.rng.choice(self.account_ids)
            connection.execute("SELECT id FROM credits_account WHERE id = %s FOR UPDATE", [account_id])
            self.stop.wait(LOCK_SECONDS)

    def adjust_balance(self) -> None:
        """Change a balance by hand, as staff do, while orders are paid from it."""
        change = self.rng.choice((-50, -7, 7, 500))
        try:
            account = Account.objects.get(pk=self.rng.choice(self.account_ids))
            # Twice, as after a double click; each has its own key.
            for _ in range(2):
                ledger.adjust(account, change, key=f"chaos:{uuid4()}", actor="chaos", reason="a chaos run")
        except (LedgerError, DatabaseError):
            self.counters.count_event("adjustments refused")

    def _wait(self) -> None:
        self.stop.wait(self.rng.uniform(*self.fault_seconds))
