"""The sums behind the counters and histograms of /metrics, over the event log and the stored callbacks.

`metric_sums.TOTALS` passes parts of the two tables to `add_up_events` and `add_up_callbacks`. Both return sums by key.
A key begins with a name in `metrics.COUNTERS` or `metrics.HISTOGRAMS`, and continues with the values of the labels:
texts, whole numbers and None, because keys are stored as JSON.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    Count,
    F,
    FloatField,
    Func,
    IntegerField,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)

from generations.catalogue import MODELS, find_by_endpoint
from generations.models import INCIDENTS, Event, Output, ProviderCallback
from operations import statistics
from operations.running_totals import Key

# The upper bounds of the histograms' buckets. They are those of the service whose metrics Limn continues.
BUCKETS_SECONDS = (1, 5, 10, 30, 60, 120, 300, 600)
# The label of models that are not in the catalogue any more, so that they do not keep a time series for ever.
OTHER = "other"
FACTS = ("submitted", "not_taken", "submission_lost", "answered", "completed", "failed", *INCIDENTS)
# A callback whose outcome will change.
UNPROCESSED = Q(outcome=ProviderCallback.Outcome.RECEIVED)


class SecondsBetween(Func):
    """The seconds from the second argument to the first.

    The difference of two Django fields is, on SQLite, a Python function that is called several times for each row.
    """

    output_field = FloatField()
    template = "EXTRACT(EPOCH FROM (%(expressions)s))"
    arg_joiner = " - "

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "((julianday(%(expressions)s)) * 86400.0)"
        return self.as_sql(compiler, connection, template=template, arg_joiner=") - julianday(", **context)


def add_up_events(events: QuerySet[Event]) -> Counter[Key]:
    """Return the sums over a part of the event log. Two queries, however many events there are."""
    duration = Case(
        When(fact="answered", then=SecondsBetween(F("generation__answered_at"), F("generation__submitted_at"))),
        When(fact="completed", then=SecondsBetween(F("generation__finished_at"), F("generation__created_at"))),
        output_field=FloatField(),
    )
    # The first bucket that the duration fits into; None beyond the last, and for events without a duration.
    bucket = Case(
        *(When(duration__lte=bound, then=Value(bound)) for bound in BUCKETS_SECONDS), output_field=IntegerField()
    )
    has_verdict = Q(fact="answered") | Q(
        fact="failed", actor="fal", generation__failure_code__in=statistics.VERDICT_FAILURES
    )
    by_callback = When(has_verdict, then=statistics.verdict_by_callback("generation_id"))
    groups = (
        events.filter(fact__in=FACTS)
        .annotate(
            duration=duration,
            bucket=bucket,
            is_from_fal=_flag(actor="fal"),
            was_accepted=_flag(generation__submitted_at__isnull=False),
            is_rate_limit=_flag(fact="not_taken", staff_note__startswith="429"),
            by_callback=Case(by_callback, output_field=BooleanField()),
        )
        .order_by()
        .values(
            *("fact", "is_from_fal", "was_accepted", "is_rate_limit", "by_callback", "bucket"),
            *("generation__endpoint", "generation__model", "generation__failure_code"),
        )
        .annotate(count=Count("id"), seconds=Sum("duration"), spent=Sum("balance_change"))
    )
    sums: Counter[Key] = Counter()
    for group in groups:
        sums.update(_sums_of(group))

    # Files are counted when their generation ends. From then on nothing changes about them, except that a stored file
    # may be erased; it still counts as stored.
    ended = events.filter(fact__in=("completed", "failed")).values("generation")
    result = Case(When(stored_at=None, then=Value("lost")), default=Value("stored"))
    files = Output.objects.filter(generation__in=ended).order_by().annotate(result=result).values_list("result")
    sums.update({("copies", result): count for result, count in files.annotate(Count("id"))})
    return sums


def _sums_of(group: dict[str, Any]) -> dict[Key, Any]:
    """Return what a group of events with the same labels adds to the sums."""
    fact, count = group["fact"], group["count"]
    # Names outside of the catalogue are one label, so that no deleted model leaves a series behind.
    endpoint = group["generation__endpoint"] if find_by_endpoint(group["generation__endpoint"]) else OTHER
    model = group["generation__model"] if group["generation__model"] in MODELS else OTHER
    verdict = ("verdicts", "callback" if group["by_callback"] else "sweep")
    sums: dict[Key, Any] = {}
    match fact:
        case "submitted":
            sums["requests", "accepted", endpoint] = count
        case "not_taken":
            sums["requests", "not_taken", endpoint] = count
            sums["errors", "rate_limited" if group["is_rate_limit"] else "unavailable"] = count
            sums["rate limits",] = count if group["is_rate_limit"] else 0
        case "submission_lost":
            sums["requests", "lost", endpoint] = count
            sums["errors", "answer_lost"] = count
        case "answered":
            sums[verdict] = count
        case "completed":
            sums["ended", model, "completed"] = count
            # PostgreSQL returns the sum of a bigint as a decimal number.
            sums["credits",] = -int(group["spent"])
        case "failed":
            # A failure that came from fal is a verdict if fal had accepted the submission, and a rejection otherwise.
            sums["ended", model, "failed"] = count
            sums["errors", group["generation__failure_code"]] = count
            if group["is_from_fal"] and not group["was_accepted"]:
                sums["requests", "rejected", endpoint] = count
            elif group["by_callback"] is not None and group["was_accepted"]:
                sums[verdict] = count
        case _:
            sums["incidents", fact] = count
    if group["seconds"] is not None:
        histogram = ("request seconds", endpoint) if fact == "answered" else ("generation seconds", model)
        sums[*histogram, group["bucket"]] = count
        sums[*histogram, "sum"] = group["seconds"]
    return sums


def add_up_callbacks(callbacks: QuerySet[ProviderCallback]) -> Counter[Key]:
    """Return the sums over a part of the stored callbacks, by outcome. Unprocessed ones are left out."""
    outcomes = callbacks.exclude(UNPROCESSED).order_by().values_list("outcome").annotate(Count("id"))
    return Counter({("callbacks", outcome): count for outcome, count in outcomes})


def _flag(**condition: Any) -> Case:
    return Case(When(Q(**condition), then=True), default=False, output_field=BooleanField())
