"""The bugs, in the order of failure-modes.md §3.2. A letter behind a number: one guard of several, alone.

A guard without a test that dies without it is not a guard: so where two stand behind each other, each is taken away by
itself, and then both.
"""

from quality.seeded_bugs.bugs import callbacks, files, money, orders

BUGS = sorted(
    (*money.BUGS, *callbacks.BUGS, *orders.BUGS, *files.BUGS),
    key=lambda bug: (int(bug.number.rstrip("abcdefgh")), bug.number),
)
