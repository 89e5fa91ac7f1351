"""What programs wrote while everything broke: no secret (I17), and no exception that nobody foresaw (I16)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from quality.chaos.counters import Tally

BEGINNING = "Traceback (most recent call last):"
# One traceback leads to the next; what matters is how the last of them ends.
LINKS = ("During handling of the above exception", "The above exception was the direct cause")
# Whatever it is called: psycopg.errors.UndefinedTable is one as well.
ENDING = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w+(?:: .*)?$", re.MULTILINE)
# The database or the network is away: it may be logged with all its frames.
PASSING = re.compile(
    r"OperationalError|InterfaceError|PoolTimeout|ConnectionTimeout|ConnectionError|EndpointConnectionError|"
    r"UnreadablePostError|ClientDisconnected|AdminShutdown|CrashShutdown|CannotConnectNow|LockNotAvailable|"
    r"QueryCanceled|DeadlockDetected"
)


def judge(name: str, text: str, secrets: Mapping[str, Iterable[str]], tally: Tally) -> None:
    for what, values in secrets.items():
        if any(value in text for value in values):
            tally.violated("I17", f"{what} stands in the log of {name}")
    for ending in endings(text):
        if PASSING.search(ending):
            tally.count("passing exceptions logged")
        else:
            tally.violated("I16", f"{name} logged {ending[:200]}")


def endings(text: str) -> Iterator[str]:
    """How each chain of tracebacks ends."""
    for block in text.split(BEGINNING)[1:]:
        found = ENDING.search(block)
        if found and not any(link in block for link in LINKS):
            yield found[0]
