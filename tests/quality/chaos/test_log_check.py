"""How the soak reads logs."""

from __future__ import annotations

import pytest

from quality.chaos import log_check
from quality.chaos.counters import Tally

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
NO_TABLE = """2026-11-26 ERROR huey.consumer.Worker: Error reading from queue
Traceback (most recent call last):
  File "cursor.py", line 117, in execute
    raise ex.with_traceback(None)
psycopg.errors.UndefinedTable: relation "huey_task" does not exist
LINE 1: delete from huey_task where id = (select id from huey_task w...
                    ^
Working.
"""

SILENT = """2026-11-27 ERROR huey.consumer.Worker: Error reading from queue
Traceback (most recent call last):
  File "connection.py", line 126, in connect
psycopg.errors.ConnectionTimeout: connection timeout expired
"""


@pytest.mark.parametrize(
    "text, found",
    [
        (CHAIN, ["psycopg.OperationalError: server closed the connection unexpectedly"]),
        (BUG, ["ZeroDivisionError: division by zero"]),
        (NO_TABLE, ['psycopg.errors.UndefinedTable: relation "huey_task" does not exist']),
        ("all is well", []),
    ],
)
def test_a_chain_counts_once_by_how_it_ends(text: str, found: list[str]) -> None:
    assert list(log_check.endings(text)) == found


def test_a_database_that_is_away_is_no_bug_and_a_division_by_zero_is() -> None:
    tally = Tally()

    log_check.judge("web", CHAIN + BUG + SILENT, {}, tally)

    assert tally.violations == ["I16: web logged ZeroDivisionError: division by zero"]


def test_a_secret_in_a_log_is_found_and_not_repeated() -> None:
    tally = Tally()

    log_check.judge("web", "the key is abc", {"FAL_KEY": ["abc"]}, tally)

    assert tally.violations == ["I17: FAL_KEY stands in the log of web"]
