"""The sums behind the counters of /metrics, and the worker that adds the settled rows to those that are stored.

The loop of `manage.py work` calls `run_once` every half minute, and again at once while there is more.
"""

from __future__ import annotations

from generations.models import Event, ProviderCallback
from operations import counters
from operations.running_totals import IncrementalSum

TOTALS = (
    IncrementalSum(name="events", rows=Event.objects.all(), time_field="created_at", add_up=counters.add_up_events),
    IncrementalSum(
        name="callbacks",
        rows=ProviderCallback.objects.all(),
        time_field="received_at",
        add_up=counters.add_up_callbacks,
        unfinished=counters.UNPROCESSED,
    ),
)


def run_once(*, limit: int) -> int:
    """Add up to `limit` slices of settled rows to the stored sums. Returns how many."""
    slices = 0
    for total in TOTALS:
        while slices < limit and total.advance():
            slices += 1
    return slices
