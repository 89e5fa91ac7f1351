"""What a worker costs that has nothing to do: its share of a core, and its statements per second.

PostgreSQL logs every statement while it is measured, so the number is exact, transactions' BEGIN and COMMIT included.
"""

from __future__ import annotations

import re
import time

import psycopg

from quality.benchmarks.environment import CpuMeter, Environment
from quality.benchmarks.options import Options
from quality.benchmarks.results import Aim, Result

# How much of a frequent statement is shown.
STATEMENT_CHARACTERS = 40
_STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*): (.*)")


def measure(environment: Environment, options: Options) -> list[Result]:
    """Measure one worker, as often as there are alternations, in one process that keeps running."""
    share = Result(
        row="idle",
        what="idle worker",
        unit="% of a core",
        aim=Aim(of="value", comparison="≤", limit=1),
    )
    statements = Result(
        row="idle", what="idle worker", unit="statements per second", aim=Aim(of="value", comparison="≤", limit=5)
    )
    database = Result(row="idle", what="PostgreSQL behind it", unit="% of a core")
    with environment.limn(environment.limn_database("idle"), web=0, workers=1) as limn:
        cpu = CpuMeter({"work": [limn.groups["work"][0].pid], "postgresql": [environment.postgres.pid]})
        # The loops back off step by step while there is nothing to do.
        time.sleep(options.idle_settle_seconds)
        for _ in range(options.alternations):
            cpu.start()
            time.sleep(options.idle_seconds)
            used = cpu.stop()
            share.limn.append(100 * used["work"] / used["elapsed"])
            database.limn.append(100 * used["postgresql"] / used["elapsed"])
        # Logging costs time, so it has a measurement of its own.
        logged = logged_statements(environment, options.idle_seconds)
        statements.limn.append(len(logged) / options.idle_seconds)
    statements.note = most_frequent(logged, options.idle_seconds)
    return [share, statements, database]


def logged_statements(environment: Environment, seconds: float) -> list[str]:
    """Let PostgreSQL log every statement for this time. Returns them."""
    _set(environment, "'all'")
    # A running session reads the setting before its next statement.
    time.sleep(1)
    start = environment.postgres.log.stat().st_size
    time.sleep(seconds)
    with environment.postgres.log.open("rb") as log:
        log.seek(start)
        text = log.read().decode(errors="replace")
    _set(environment, "DEFAULT")
    return [found for found in _STATEMENT.findall(text) if "log_statement" not in found]


def most_frequent(statements: list[str], seconds: float) -> str:
    """Return the three most frequent statements with their rates."""
    counted: dict[str, int] = {}
    for statement in statements:
        start = " ".join(statement.replace('"', "").split())[:STATEMENT_CHARACTERS]
        counted[start] = counted.get(start, 0) + 1
    top = sorted(counted.items(), key=lambda item: -item[1])[:3]
    return "; ".join(f"{start} … {count / seconds:.1f}/s" for start, count in top)


def _set(environment: Environment, value: str) -> None:
    with psycopg.connect(environment.postgres.url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET log_statement TO {value}")
        connection.execute("SELECT pg_reload_conf()")
