"""All metrics of Limn, computed from the database when Prometheus scrapes them (`views.metrics`).

They are therefore correct with any number of processes, after a restart and after a kill, whichever process answers.
Counters and histograms are sums over tables whose rows are only added (`counters`); those over old rows are stored
(`metric_sums`). Gauges describe unfinished work (`gauges`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from generations.models import RejectedCallbacks
from operations import counters, gauges, metric_sums
from operations.running_totals import Key

# A scrape that needs longer, because no worker has added up the old rows, is answered with 503. The next one continues.
COUNTING_SECONDS_MAX = 2.0

# By the first part of the key of the sums: the name, the documentation and the labels of the metric.
COUNTERS: dict[str, tuple[str, str, list[str]]] = {
    "requests": ("fal_requests", "Submissions to fal, by outcome.", ["status", "endpoint"]),
    "errors": ("fal_errors", "Failed submissions and failed generations, by type.", ["error_type"]),
    "rate limits": ("fal_rate_limit_hits", "Submissions that fal answered with 429.", []),
    "credits": ("fal_api_credits_used", "Credits charged to customers.", []),
    "ended": ("limn_generations_ended", "Ended generations, by model and status.", ["model", "status"]),
    "verdicts": ("limn_verdicts", "Verdicts of fal, by the way in which they arrived first.", ["by"]),
    "callbacks": ("limn_callbacks", "Genuine callbacks, by what they led to.", ["verdict"]),
    "refused": (
        "limn_callbacks_refused",
        "Callbacks that were not authenticated or not understood, by the status of the response.",
        ["status"],
    ),
    "incidents": ("limn_incidents", "Generations that staff must look at, by what has happened.", ["kind"]),
    "copies": ("limn_copies", "Files of ended generations, by whether they were stored.", ["result"]),
}
HISTOGRAMS: dict[str, tuple[str, str, str]] = {
    "request seconds": (
        "fal_request_duration_seconds",
        "Time from the acceptance of a submission to its answer.",
        "endpoint",
    ),
    "generation seconds": ("limn_generation_seconds", "Time from the order to the last stored file.", "model"),
}


class Collector:
    """Collects all metrics. It remembers nothing, so it makes no difference which process answers."""

    def collect(self) -> Iterator[Metric]:
        """Yield every metric. Raises `running_totals.NotReady` if adding up takes longer than COUNTING_SECONDS_MAX."""
        deadline = time.monotonic() + COUNTING_SECONDS_MAX
        sums: Counter[Key] = Counter()
        for total in metric_sums.TOTALS:
            sums.update(total.sums(deadline=deadline))
        # Rejected callbacks are not stored, only counted.
        sums.update({("refused", row.status): row.number for row in RejectedCallbacks.objects.all()})
        for name, (metric, documentation, labels) in COUNTERS.items():
            counter = CounterMetricFamily(metric, documentation, labels=labels)
            if not labels:
                # A counter without labels is shown from the beginning, with 0.
                counter.add_metric([], sums[(name,)])
            for key in sorted(key for key in sums if key[0] == name and labels):
                counter.add_metric(list(map(str, key[1:])), sums[key])
            yield counter
        for name, (metric, documentation, label) in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(metric, documentation, labels=[label])
            for value in sorted({key[1] for key in sums if key[0] == name}):
                histogram.add_metric([value], _buckets(sums, name, value), sums[(name, value, "sum")])
            yield histogram
        yield from gauges.collect()


def _buckets(sums: Counter[Key], name: str, label_value: str) -> list[tuple[str, float]]:
    """Return the buckets of a histogram as Prometheus expects them: each includes all smaller ones."""
    total, buckets = 0.0, []
    for bound in (*counters.BUCKETS_SECONDS, None):
        total += sums[(name, label_value, bound)]
        buckets.append((f"{float(bound)}" if bound else "+Inf", total))
    return buckets
