"""All seeded bugs, in the order of the list in docs/failure-modes.md.

A letter behind a number marks one of several guards that protect the same thing. Each guard is removed alone and must
be missed by a test, and then all of them together: a guard without a test that fails without it protects nothing.
"""

from string import ascii_lowercase

from quality.seeded_bugs.bugs import (
    background,
    batches,
    callbacks,
    ends,
    files,
    money,
    orders,
    outages,
    repetitions,
    storage,
    transactions,
    transfers,
)

MODULES = (
    money,
    callbacks,
    ends,
    orders,
    files,
    background,
    batches,
    outages,
    repetitions,
    storage,
    transactions,
    transfers,
)
BUGS = sorted(
    (bug for module in MODULES for bug in module.BUGS),
    key=lambda bug: (int(bug.number.rstrip(ascii_lowercase)), bug.number),
)
