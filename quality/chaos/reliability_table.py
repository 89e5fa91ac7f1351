"""What a run says of the promises in docs/reliability.md: what was done to Limn, and what came of it."""

from __future__ import annotations

from collections.abc import Callable

from quality.chaos.counters import Tally
from quality.chaos.fault_plan import BEFORE_ACCEPT

LOST_ANSWERS = ("drop_after_accept", "hang_after_accept", "garbage200", "status:504", "failpoint posted")
FORGERIES = ("callback:forged", "callback:wrong_account", "callback:mismatch", "callback:stale", "callback:garbage")
WRONG_FILES = ("cdn:html", "cdn:bomb", "cdn:truncated", "cdn:cut", "cdn:wrong_type", "cdn:huge")


def as_markdown(tally: Tally) -> str:
    """A table for docs/reliability.md."""
    rows = [f"| {promise} | {figure(_Seen(tally))} |" for promise, figure in FIGURES.items()]
    return "\n".join(["| promise | in this run |", "|---|---|", *rows])


class _Seen:
    """Reads a tally."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def hits(self, *beginnings: str, ending: str = "") -> int:
        hits = self._tally.hits.items()
        return sum(times for name, times in hits if name.startswith(beginnings) and name.endswith(ending))

    def count(self, name: str) -> int:
        return self._tally.counts[name]


FIGURES: dict[str, Callable[[_Seen], str]] = {
    "One attempt is one POST at fal": lambda seen: (
        f"{seen.count('posts'):,} attempts, each posted once; "
        f"{seen.hits(*BEFORE_ACCEPT):,} times fal or the wire failed"
    ),
    "An attempt whose answer was lost is not sent again blindly": lambda seen: (
        f"{seen.hits(*LOST_ANSWERS):,} answers lost; "
        f"{seen.count('generations with two jobs or more'):,} orders got a second job"
    ),
    "A second job is the operator's cost": lambda seen: f"{seen.count('jobs surplus'):,} recorded as surplus",
    "The same Idempotency-Key is the same order": lambda seen: (
        f"{seen.hits('repeat', 'twins'):,} orders sent again or twice at once; none was made twice"
    ),
    "Credits are held, then captured or released, once": lambda seen: (
        f"the books were right in {seen.count('samples'):,} snapshots under load, and to the credit at the end"
    ),
    "A lost callback costs seconds": lambda seen: f"{seen.hits('callback:lost'):,} callbacks never came",
    "A worker killed with -9 loses nothing": lambda seen: (
        f"{seen.hits('kill -9') + seen.hits('failpoint', ending='exit'):,} processes killed, "
        f"{seen.hits('failpoint', ending='exit'):,} of them at the worst moment"
    ),
    "A worker that sleeps beyond its lease spoils nothing": lambda seen: (
        f"{seen.hits('SIGSTOP') + seen.hits('failpoint', ending='sleep'):,} times"
    ),
    "COMPLETED means: in your storage, verified": lambda seen: (
        f"{seen.count('files compared byte for byte'):,} files compared byte for byte with what fal served; "
        f"{seen.hits(*WRONG_FILES):,} wrong or broken ones were served"
    ),
    "Database, storage and fal may be away": lambda seen: (
        f"{seen.hits('PostgreSQL'):,} faults of PostgreSQL, {seen.hits('S3'):,} of storage, "
        f"{seen.hits('fal '):,} of fal"
    ),
    "Only fal, for our account, for this attempt": lambda seen: (
        f"{seen.hits(*FORGERIES):,} jobs whose callbacks were forged, stale, garbled or another's"
    ),
    "A replay changes nothing, however late": lambda seen: (
        f"{seen.hits('late '):,} callbacks repeated or contradicted after the end"
    ),
}
