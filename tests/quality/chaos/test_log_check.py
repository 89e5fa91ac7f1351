"""How the logs of a chaos run are checked."""

from __future__ import annotations

import pytest

from quality.chaos.counters import Counters
from quality.chaos.log_check import check_log, exceptions

pytestmark = pytest.mark.once

CHAIN = """Traceback (most recent call last):
  File "cache.py", line 1, in get
KeyError: 'user'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "query.py", line 2, in execute
psycopg.OperationalError: server closed the connection unexpectedly
\tThis probably means the server terminated abnormally
2026-11-20 15:22:59,026 WARNING psycopg.pool: error connecting
"""
BUG = """2026-11-20 ERROR work failed
Traceback (most recent call last):
  File "a.py", line 1, in f
ZeroDivisionError: division by zero
"""
MISSING_TABLE = """2026-11-26 ERROR huey.consumer.Worker: Error reading from queue
Traceback (most recent call last):
  File "cursor.py", line 117, in execute
    raise ex.with_traceback(None)
psycopg.errors.UndefinedTable: relation "huey_task" does not exist
LINE 1: delete from huey_task where id = (select id from huey_task w...
                    ^
Working.
"""
TIMEOUT = """2026-11-27 ERROR huey.consumer.Worker: Error reading from queue
Traceback (most recent call last):
  File "connection.py", line 126, in connect
psycopg.errors.ConnectionTimeout: connection timeout expired
"""


@pytest.mark.parametrize(
    "text, found",
    [
        (CHAIN, ["psycopg.OperationalError: server closed the connection unexpectedly"]),
        (BUG, ["ZeroDivisionError: division by zero"]),
        (MISSING_TABLE, ['psycopg.errors.UndefinedTable: relation "huey_task" does not exist']),
        ("an ordinary line", []),
    ],
)
def test_a_chain_of_tracebacks_counts_once_as_its_last_exception(text: str, found: list[str]) -> None:
    assert list(exceptions(text)) == found


def test_only_an_unexpected_exception_is_a_violation() -> None:
    counters = Counters()

    check_log("web", CHAIN + BUG + TIMEOUT, {}, counters)

    assert counters.violations == ["I16: web logged ZeroDivisionError: division by zero"]
    assert counters.events == {"expected exceptions logged": 2}


def test_a_secret_in_a_log_is_a_violation_that_does_not_repeat_it() -> None:
    counters = Counters()

    check_log("web", "the key is abc", {"FAL_KEY": ["abc"]}, counters)

    assert counters.violations == ["I17: FAL_KEY appears in the log of web"]


def test_a_deadlock_is_a_violation() -> None:
    counters = Counters()

    check_log("work", "2026-11-30 ERROR the database is unavailable: deadlock detected", {}, counters)

    assert counters.violations == ["I16: work logged a deadlock"]
