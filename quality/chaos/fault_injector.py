"""Breaks things, one after the other, and mends them again: processes, databases, buckets, keys, accounts."""

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
from quality.chaos.counters import Tally
from quality.chaos.environment import Town
from quality.chaos.fault_plan import Swarm
from quality.chaos.processes import Program

# The copier's lease, which is the shortest: who sleeps for longer has lost it.
LEASE_SECONDS = 15.0
# Longer than lock_timeout.
LOCK_SECONDS = 4.5
S3_BUSY = (
    "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: 76\r\n\r\n"
    "<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>-</Message></Error>"
)
S3_REFUSES = S3_BUSY.replace("503 Slow Down", "403 Forbidden").replace("SlowDown", "AccessDenied").replace("76", "80")


@dataclass
class Nemesis:
    """One thread. Whatever it breaks it mends itself, unless that mends by itself."""

    town: Town
    swarm: Swarm
    tally: Tally
    chance: random.Random
    stop: threading.Event
    accounts: list[int]
    pause_seconds: tuple[float, float]
    fault_seconds: tuple[float, float]

    def run(self) -> None:
        faults = self._faults()
        waiting: list[str] = []
        while not self.stop.wait(self.chance.uniform(*self.pause_seconds)):
            # Each once before any twice, in an order that the seed draws.
            waiting = waiting or self.chance.sample(self.swarm.nemesis, len(self.swarm.nemesis))
            name = waiting.pop()
            self._note(name)
            try:
                faults[name]()
            except psycopg.OperationalError:
                self.tally.count("the nemesis broke what it stood on")
            self.tally.hit(name)

    def _note(self, name: str) -> None:
        with (self.town.folder / "nemesis.log").open("a") as log:
            log.write(f"{datetime.now(UTC).isoformat()} {name}\n")

    def _faults(self) -> dict[str, Callable[[], object]]:
        return {
            **self._to_processes(),
            **self._to_postgresql(),
            **{f"S3 {name}": fault for name, fault in self._to_s3().items()},
            **{f"fal {name}": partial(self._spoil, "fal", name) for name in ("reset", "blackhole", "cut", "delay")},
            "fal locks the account": self._lock_the_account,
            "JWKS down": partial(self._spoil_keys, "down"),
            "JWKS garbage": partial(self._spoil_keys, "garbage"),
            "JWKS rotated": lambda: self.town.order_fal("rotate", keep_previous=True),
            "JWKS rotated, old one gone": lambda: self.town.order_fal("rotate", keep_previous=False),
            "adjusted by staff": self._adjust,
        }

    def _to_processes(self) -> dict[str, Callable[[], object]]:
        web = self.town.web
        return {
            "kill -9 worker": lambda: self._a_worker().kill(),
            "kill -9 web": web.kill,
            "kill -9 web child": web.kill_a_child,
            "SIGTERM worker": lambda: self._end(self._a_worker()),
            "SIGTERM web": lambda: self._end(web),
            "SIGSTOP worker": lambda: self._pause(self._a_worker(), LEASE_SECONDS * self.chance.uniform(1.2, 3)),
            "SIGSTOP web": lambda: self._pause(web, LEASE_SECONDS),
        }

    def _to_postgresql(self) -> dict[str, Callable[[], object]]:
        modes = ("blackhole", "delay", "reset")
        return {
            "PostgreSQL crash": self.town.postgres.crash,
            "PostgreSQL terminates backends": self._terminate,
            "PostgreSQL locked rows": self._lock_rows,
            **{f"PostgreSQL {mode}": partial(self._spoil, "PostgreSQL", mode) for mode in modes},
        }

    def _to_s3(self) -> dict[str, Callable[[], object]]:
        return {
            **{mode: partial(self._spoil, "S3", mode) for mode in ("reset", "blackhole", "cut", "delay")},
            "503": partial(self._spoil, "S3", "speak", answer=S3_BUSY),
            "403": partial(self._spoil, "S3", "speak", answer=S3_REFUSES),
        }

    def _a_worker(self) -> Program:
        return self.chance.choice(self.town.limn[1:])

    def _end(self, program: Program) -> None:
        if not program.end():
            self.tally.violated("E2", f"{program.name} did not leave within the time that SIGTERM gives it")

    def _pause(self, program: Program, seconds: float) -> None:
        program.pause()
        self.stop.wait(seconds / self.town.time_scale)
        program.resume()

    def _spoil(self, which: str, mode: str, **details: object) -> None:
        proxy = self.town.proxies[which]
        seconds = 0.02 if which == "PostgreSQL" else 0.5
        proxy.behave(mode, **{"seconds": seconds, "bytes": self.chance.choice((0, 100, 2000)), **details})
        self._last()
        proxy.behave("pass")

    def _spoil_keys(self, mode: str) -> None:
        self.town.order_fal("jwks", mode=mode)
        self._last()
        self.town.order_fal("jwks", mode="ok")

    def _lock_the_account(self) -> None:
        """fal answers every order with its lock, for some seconds."""
        self.town.order_fal("always", scenarios=[self.chance.choice(("status:403", "status:401", "status:402"))])
        self._last()
        self.town.order_fal("clear")

    def _terminate(self) -> None:
        with psycopg.connect(self.town.postgres.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def _lock_rows(self) -> None:
        """Some generations and an account, longer than anybody waits for a lock."""
        with psycopg.connect(self.town.postgres.url) as connection:
            query = "SELECT id FROM generations_generation WHERE phase <> 'done' ORDER BY random() LIMIT 20 FOR UPDATE"
            connection.execute(query)
            connection.execute("SELECT id FROM credits_account WHERE id = %s FOR UPDATE", [self._an_account()])
            self.stop.wait(LOCK_SECONDS)

    def _adjust(self) -> None:
        change = self.chance.choice((-50, -7, 7, 500))
        try:
            account = Account.objects.get(pk=self._an_account())
            for _ in range(2):  # A double click.
                ledger.adjust(account, change, key=f"soak:{uuid4()}", actor="nemesis", reason="because")
        except (LedgerError, DatabaseError):
            self.tally.count("adjustment refused")

    def _last(self) -> None:
        self.stop.wait(self.chance.uniform(*self.fault_seconds))

    def _an_account(self) -> int:
        return self.chance.choice(self.accounts)

    def mend(self) -> None:
        """Everything works again, from now on."""
        for proxy in self.town.proxies.values():
            proxy.behave("pass")
        self.town.order_fal("clear")
        self.town.order_fal("jwks", mode="ok")
        self.town.plan_of_failpoints.unlink()
        for program in self.town.limn:
            program.resume()
