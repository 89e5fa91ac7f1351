"""Faults of PostgreSQL and of the connection to it: crashes, locks, limits, a read-only server, a slow network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg import sql

from quality.chaos.environment import ROLE
from quality.chaos.fault_context import FaultContext, Faults
from quality.chaos.service_faults import disturb

# Longer than the lock_timeout of Limn's connections, which is 3 s.
LOCK_SECONDS = 4.5
ACCOUNT_LOCK_SECONDS = 7.0
# Each process may open 60, and needs one for each thread that works.
CONNECTIONS_MAX = 3
END_CONNECTIONS = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}").format(
    sql.Literal(ROLE)
)


@dataclass
class DatabaseFaults:
    """Faults of the database of the installation under load. Those of the server strike the second deployment too."""

    context: FaultContext

    def faults(self) -> Faults:
        slow = partial(disturb, self.context, "PostgreSQL")
        return {
            "PostgreSQL crash": self.context.environment.postgres.crash,
            "PostgreSQL terminates backends": partial(self.context.environment.postgres.administer, END_CONNECTIONS),
            "PostgreSQL locked rows": self.lock_rows,
            "PostgreSQL locked account": self.lock_account,
            "PostgreSQL connection limit": self.limit_connections,
            "PostgreSQL read-only": self.make_read_only,
            "PostgreSQL blackhole": partial(slow, "blackhole"),
            "PostgreSQL reset": partial(slow, "reset"),
            # Each query is a round trip of its own, so even 20 ms a chunk make a request take seconds.
            "PostgreSQL delay": partial(slow, "delay", seconds=0.02),
            # A transaction takes longer than others wait for its locks.
            "PostgreSQL slow": partial(slow, "delay", seconds=0.3),
        }

    def lock_rows(self) -> None:
        """Lock some generations and an account for longer than Limn waits for a lock."""
        with self._connect() as connection:
            connection.execute(
                "SELECT id FROM generations_generation WHERE phase <> 'done' ORDER BY random() LIMIT 20 FOR UPDATE"
            )
            self._lock_any_account(connection)
            self.context.stop.wait(LOCK_SECONDS)

    def lock_account(self) -> None:
        """Lock one account for much longer than Limn waits for a lock: the other customers must not notice."""
        with self._connect() as connection:
            self._lock_any_account(connection)
            self.context.stop.wait(ACCOUNT_LOCK_SECONDS)

    def limit_connections(self) -> None:
        """Let Limn have a few connections in all, as on a server whose connections others have taken."""
        postgres = self.context.environment.postgres
        try:
            # The limit applies to new connections, so the existing ones are ended.
            postgres.administer(f"ALTER ROLE {ROLE} CONNECTION LIMIT {CONNECTIONS_MAX}", END_CONNECTIONS)
            self.context.wait()
        finally:
            postgres.administer(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")

    def make_read_only(self) -> None:
        """Refuse all writes, as a server that has become a replica."""
        postgres = self.context.environment.postgres
        reload = "SELECT pg_reload_conf()"
        try:
            postgres.administer("ALTER SYSTEM SET default_transaction_read_only = on", reload)
            self.context.wait()
        finally:
            postgres.administer("ALTER SYSTEM RESET default_transaction_read_only", reload)

    def _connect(self) -> psycopg.Connection:
        environment = self.context.environment
        return psycopg.connect(environment.postgres.url_of(environment.limn.database))

    def _lock_any_account(self, connection: psycopg.Connection) -> None:
        account_id = self.context.draw_account()
        connection.execute("SELECT id FROM credits_account WHERE id = %s FOR UPDATE", [account_id])
