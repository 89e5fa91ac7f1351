"""Checks the logs of Limn's processes after a run: no secret (I17) and no unexpected exception (I16).

Called by the final checks for each process. An exception that says that the database or the network is unavailable is
expected while faults are injected, and is only counted. A deadlock is not: no fault causes one, only two transactions
of Limn that lock the same rows in different orders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from quality.chaos.counters import Counters
from quality.chaos.postgres import DEADLOCK

TRACEBACK_HEADER = "Traceback (most recent call last):"
# A traceback with one of these lines is followed by the traceback that ends the chain.
CHAIN_MARKERS = ("During handling of the above exception", "The above exception was the direct cause")
# The last line of a traceback: a dotted exception name, with or without a message.
EXCEPTION_LINE = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w+(?:: .*)?$", re.MULTILINE)
EXPECTED = re.compile(
    r"OperationalError|InterfaceError|PoolTimeout|ConnectionTimeout|ConnectionError|EndpointConnectionError|"
    r"UnreadablePostError|ClientDisconnected|AdminShutdown|CrashShutdown|CannotConnectNow|LockNotAvailable|QueryCanceled|"
    r"in a read-only transaction|"
    # The connection was ended while it committed.
    r"received 2 results from command|"
    # What PgBouncer says when it has lost the server.
    r"ProtocolViolation: (?:server login has been failing|server conn crashed|invalid server parameter)"
)


def check_log(process: str, text: str, secrets: Mapping[str, Iterable[str]], counters: Counters) -> None:
    """Report secrets and unexpected exceptions in the log of one process.

    Args:
        process: Its name, for the report.
        text: Everything that it has written.
        secrets: The values that must not appear, by the name under which a violation is reported.
        counters: Where violations are recorded. The secret itself is not repeated there.
    """
    for name, values in secrets.items():
        if any(value in text for value in values):
            counters.add_violation("I17", f"{name} appears in the log of {process}")
    if DEADLOCK in text:
        counters.add_violation("I16", f"{process} logged a deadlock")
    for exception in exceptions(text):
        if EXPECTED.search(exception):
            counters.count_event("expected exceptions logged")
        else:
            counters.add_violation("I16", f"{process} logged {exception[:200]}")


def exceptions(text: str) -> Iterator[str]:
    """Yield the last line of each chain of tracebacks, such as `ValueError: too short`."""
    for block in text.split(TRACEBACK_HEADER)[1:]:
        found = EXCEPTION_LINE.search(block)
        if found and not any(marker in block for marker in CHAIN_MARKERS):
            yield found[0]
