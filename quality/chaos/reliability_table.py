"""Makes the table of docs/reliability.md from the counters of a run: each guarantee, and what the run shows for it."""

from __future__ import annotations

from collections.abc import Callable

from quality.chaos.counters import Counters
from quality.chaos.fault_kinds import BEFORE_ACCEPT, IDENTICAL_JOB

LOST_ANSWERS = ("drop_after_accept", "hang_after_accept", "garbage200", "status:504", "failpoint posted")
FORGERIES = ("callback:forged", "callback:wrong_account", "callback:mismatch", "callback:stale", "callback:garbage")
WRONG_FILES = ("cdn:html", "cdn:bomb", "cdn:truncated", "cdn:cut", "cdn:wrong_type", "cdn:huge")


class Totals:
    """Sums over the counters of a run."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def faults(self, *prefixes: str, suffix: str = "") -> int:
        """Return how often the faults whose name begins and ends like this took effect."""
        faults = self._counters.faults.items()
        return sum(times for name, times in faults if name.startswith(prefixes) and name.endswith(suffix))

    def events(self, name: str) -> int:
        return self._counters.events[name]


def as_markdown(counters: Counters) -> str:
    """Return the table as Markdown."""
    totals = Totals(counters)
    rows = [f"| {guarantee} | {describe(totals)} |" for guarantee, describe in FIGURES.items()]
    return "\n".join(["| guarantee | in this run |", "|---|---|", *rows])


FIGURES: dict[str, Callable[[Totals], str]] = {
    "One submission is one POST at fal": lambda totals: (
        f"{totals.events('posts'):,} submissions, each posted once; "
        f"{totals.faults(*BEFORE_ACCEPT):,} were refused by fal or lost on the way"
    ),
    "A submission whose answer was lost is not repeated blindly": lambda totals: (
        f"{totals.faults(*LOST_ANSWERS):,} answers lost; "
        f"{totals.events('generations with two jobs or more'):,} orders got a second job"
    ),
    "A second job is the operator's cost": lambda totals: f"{totals.events('jobs surplus'):,} recorded as surplus",
    "The same Idempotency-Key is the same order": lambda totals: (
        f"{totals.faults('repeat', 'concurrent repeat'):,} orders sent again or twice at once; none was placed twice"
    ),
    "Credits are held, then captured or released, once": lambda totals: (
        f"the ledger was correct in {totals.events('snapshots'):,} snapshots under load, and at the end"
    ),
    "A lost callback costs seconds": lambda totals: f"{totals.faults('callback:lost'):,} callbacks were never sent",
    "A worker process that is killed with `kill -9` loses nothing": lambda totals: (
        f"{totals.faults('kill -9') + totals.faults('failpoint', suffix='exit'):,} processes killed, "
        f"{totals.faults('failpoint', suffix='exit'):,} of them at a failpoint"
    ),
    "A worker that is suspended beyond its lease has no effect": lambda totals: (
        f"{totals.faults('SIGSTOP') + totals.faults('failpoint', suffix='sleep'):,} suspensions"
    ),
    "A completed generation is in storage and verified": lambda totals: (
        f"{totals.events('files compared byte for byte'):,} files compared byte for byte with what fal served; "
        f"{totals.faults(*WRONG_FILES):,} wrong or incomplete ones were served"
    ),
    "Database, storage and fal may be unavailable": lambda totals: (
        f"{totals.faults('PostgreSQL'):,} faults of PostgreSQL, {totals.faults('S3'):,} of storage, "
        f"{totals.faults('fal '):,} of fal"
    ),
    "Only fal's callbacks for Limn's account and this submission are accepted": lambda totals: (
        f"{totals.faults(*FORGERIES):,} jobs with forged, stale or unreadable callbacks, or with those of another job"
    ),
    "Files and jobs of others are left alone": lambda totals: (
        f"{totals.events('files of strangers'):,} files of strangers in the bucket unchanged; "
        f"{totals.faults(IDENTICAL_JOB):,} identical jobs of strangers neither taken nor cancelled; "
        f"{totals.events('generations of the second deployment'):,} generations of a second deployment"
    ),
    "A restored database deletes nothing": lambda totals: (
        f"{totals.faults('restore from a dump'):,} restores, which lost "
        f"{totals.events('generations lost by a restore'):,} orders; "
        f"{totals.events('files whose rows a restore has lost'):,} files without a row are still there"
    ),
    "After an outage of any length, fal is asked first": lambda totals: (
        f"{totals.faults('outage of'):,} outages of 20 minutes to 30 hours"
    ),
    "A process with a wrong clock does no work": lambda totals: (
        f"{totals.faults('clock of'):,} times the clock of a process was 20 seconds to 7 hours wrong"
    ),
    "An erasure is final": lambda totals: (
        f"{totals.events('generations erased'):,} generations erased; nothing of them was left in the bucket"
    ),
    "Two clicks are one order": lambda totals: f"{totals.faults('double retry'):,} orders repeated by two clicks",
    "A replay changes nothing, however late": lambda totals: (
        f"{totals.faults('late '):,} callbacks repeated or contradicted after the end"
    ),
}
