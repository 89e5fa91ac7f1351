"""What Prometheus is told. All of it is counted in the database when it asks: so it is right with any number of
processes, after every restart and kill, and whichever process answers.

Counters are sums over rows that are only ever added (the timeline, callbacks). Reading all of them each time would
take longer every day: what is older than some minutes is added up once, slice by slice, and remembered; the rest is
added anew. Gauges read what is under way, which its indexes keep apart.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    FloatField,
    Func,
    IntegerField,
    Min,
    Model,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Now
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from generations.catalogue import MODELS, find_by_endpoint
from generations.models import Event, Generation, Heartbeat, Output, Phase, ProviderCallback, RejectedCallbacks
from generations.ordering import order_intake
from generations.provider import circuit_breaker
from notifications.models import EmailNotification, WebhookDelivery
from operations import alerts, statistics
from operations.running_totals import IncrementalSum, Key

# Of the first of the services that Limn replaces.
BUCKETS_SECONDS = (1, 5, 10, 30, 60, 120, 300, 600)
# Then Prometheus is told to come again, and the counting goes on where it was.
COUNTING_SECONDS_MAX = 2.0
# A model that left the catalogue must not leave a series behind for ever.
OTHER = "other"

AGES = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1), "1d": timedelta(days=1)}


# --- Sums over what is only added -----------------------------------------------------------------------------------


def _add_up_events(events: QuerySet[Event]) -> Counter[Key]:
    return Counter({**_facts(events), **_copies(events)})


def _facts(events: QuerySet[Event]) -> Counter[Key]:
    sums: Counter[Key] = Counter()
    has_verdict = Q(fact="answered") | Q(
        fact="failed", actor="fal", generation__failure_code__in=statistics.FALS_VERDICTS
    )
    rows = (
        events.filter(fact__in=_READERS)
        .annotate(
            took=_TOOK,
            bucket=_bucket("took"),
            is_fals=_is(actor="fal"),
            was_taken=_is(generation__submitted_at__isnull=False),
            is_limit=_is(fact="not_taken", staff_note__startswith="429"),
            called=Case(When(has_verdict, then=statistics.called_back("generation_id")), output_field=BooleanField()),
        )
        .order_by()
        .values(*_LABELS)
        .annotate(count=Count("id"), seconds=Sum("took"), spent=Sum("balance_change"))
    )
    for row in rows:
        for key, amount in _READERS[row["fact"]](row):
            sums[key] += amount
    return sums


def _copies(events: QuerySet[Event]) -> Counter[Key]:
    """Files are counted when their generation has ended: nothing changes about them then, but that what was stored may
    be erased."""
    ends = events.filter(fact__in=("completed", "failed")).values("generation")
    result = Case(When(stored_at=None, then=Value("lost")), default=Value("stored"))
    found = Output.objects.filter(generation__in=ends).order_by().annotate(result=result).values_list("result")
    return Counter({("copies", result): count for result, count in found.annotate(Count("id"))})


def _add_up_callbacks(callbacks: QuerySet[ProviderCallback]) -> Counter[Key]:
    told = (
        callbacks.exclude(outcome=ProviderCallback.Outcome.RECEIVED)
        .order_by()
        .values_list("outcome")
        .annotate(Count("id"))
    )
    return Counter({("callbacks", outcome): count for outcome, count in told})


def _is(**condition: Any) -> Case:
    return Case(When(Q(**condition), then=True), default=False, output_field=BooleanField())


class Seconds(Func):
    """From one moment to another. Django's own way is a Python function on SQLite, called for each row many times."""

    output_field = FloatField()
    template = "EXTRACT(EPOCH FROM (%(expressions)s))"
    arg_joiner = " - "

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "((julianday(%(expressions)s)) * 86400.0)"
        return self.as_sql(compiler, connection, template=template, arg_joiner=") - julianday(", **context)


def _between(begin: str, end: str) -> Seconds:
    return Seconds(F(f"generation__{end}"), F(f"generation__{begin}"))


def _bucket(seconds: str) -> Case:
    """The first that it fits into; None beyond the last, and for what has no duration."""
    fits = (When(Q(**{f"{seconds}__lte": bound}), then=Value(bound)) for bound in BUCKETS_SECONDS)
    return Case(*fits, output_field=IntegerField())


_TOOK = Case(
    When(fact="answered", then=_between("submitted_at", "answered_at")),
    When(fact="completed", then=_between("created_at", "finished_at")),
    output_field=FloatField(),
)
_LABELS = (
    *("fact", "is_fals", "was_taken", "is_limit", "called", "bucket"),
    *("generation__endpoint", "generation__model", "generation__failure_code"),
)


# --- What a line of the timeline adds to which sum -------------------------------------------------------------------

Sums = Iterator[tuple[Key, Any]]


def _attempt(row: dict[str, Any], status: str) -> Sums:
    yield ("requests", status, _endpoint(row)), row["count"]


def _submitted(row: dict[str, Any]) -> Sums:
    yield from _attempt(row, "accepted")


def _not_taken(row: dict[str, Any]) -> Sums:
    yield from _attempt(row, "not_taken")
    yield ("errors", "rate_limited" if row["is_limit"] else "unavailable"), row["count"]
    if row["is_limit"]:
        yield ("rate limits",), row["count"]


def _lost(row: dict[str, Any]) -> Sums:
    yield from _attempt(row, "lost")
    yield ("errors", "answer_lost"), row["count"]


def _answered(row: dict[str, Any]) -> Sums:
    yield from _duration("request seconds", _endpoint(row), row)
    yield from _verdict(row)


def _completed(row: dict[str, Any]) -> Sums:
    yield from _duration("generation seconds", _model(row), row)
    yield ("ended", _model(row), "completed"), row["count"]
    yield ("credits",), -row["spent"]


def _failed(row: dict[str, Any]) -> Sums:
    yield ("ended", _model(row), "failed"), row["count"]
    yield ("errors", row["generation__failure_code"]), row["count"]
    if row["is_fals"] and not row["was_taken"]:
        yield from _attempt(row, "rejected")
    elif row["called"] is not None and row["was_taken"]:
        yield from _verdict(row)


def _verdict(row: dict[str, Any]) -> Sums:
    yield ("verdicts", "callback" if row["called"] else "sweep"), row["count"]


def _duration(name: str, label: str, row: dict[str, Any]) -> Sums:
    if row["seconds"] is not None:
        yield (name, label, row["bucket"]), row["count"]
        yield (name, label, "sum"), row["seconds"]


def _endpoint(row: dict[str, Any]) -> str:
    return str(row["generation__endpoint"]) if find_by_endpoint(row["generation__endpoint"]) else OTHER


def _model(row: dict[str, Any]) -> str:
    return str(row["generation__model"]) if row["generation__model"] in MODELS else OTHER


_READERS: dict[str, Callable[[dict[str, Any]], Sums]] = {
    "submitted": _submitted,
    "not_taken": _not_taken,
    "submission_lost": _lost,
    "answered": _answered,
    "completed": _completed,
    "failed": _failed,
}


# --- As Prometheus wants it ------------------------------------------------------------------------------------------


class Collector:
    """All of Limn's metrics. One a process: it remembers what it has counted."""

    def __init__(self) -> None:
        self._tallies = (
            IncrementalSum(Event.objects.all(), "created_at", _add_up_events),
            IncrementalSum(ProviderCallback.objects.all(), "received_at", _add_up_callbacks),
        )

    def collect(self) -> Iterator[Metric]:
        """Raises tallies.StillCounting."""
        by = time.monotonic() + COUNTING_SECONDS_MAX
        sums: Counter[Key] = Counter()
        for tally in self._tallies:
            sums.update(tally.sums(by=by))
        sums.update({("refused", row.status): row.number for row in RejectedCallbacks.objects.all()})
        yield from _counters(sums)
        yield from _gauges()


def _counters(sums: Counter[Key]) -> Iterator[Metric]:
    for name, (title, words, labels) in _COUNTERS.items():
        family = CounterMetricFamily(title, words, labels=labels)
        if not labels:
            family.add_metric([], sums[(name,)])
        for key in sorted(key for key in sums if key[0] == name and labels):
            family.add_metric(list(map(str, key[1:])), sums[key])
        yield family
    for name, (title, words, label) in _HISTOGRAMS.items():
        yield _histogram(HistogramMetricFamily(title, words, labels=[label]), name, sums)


def _histogram(family: HistogramMetricFamily, name: str, sums: Counter[Key]) -> HistogramMetricFamily:
    for label in sorted({key[1] for key in sums if key[0] == name}):
        total, buckets = 0.0, []
        for bound in (*BUCKETS_SECONDS, None):
            total += sums[(name, label, bound)]
            buckets.append((f"{float(bound)}" if bound else "+Inf", total))
        family.add_metric([label], buckets, sums[(name, label, "sum")])
    return family


_COUNTERS: dict[str, tuple[str, str, list[str]]] = {
    "requests": ("fal_requests", "Orders sent to fal, by what came of the sending.", ["status", "endpoint"]),
    "errors": ("fal_errors", "What went wrong, refusals and failures, by type.", ["error_type"]),
    "rate limits": ("fal_rate_limit_hits", "How often fal found that it was sent too much.", []),
    "credits": ("fal_api_credits_used", "Credits that customers were charged.", []),
    "ended": ("limn_generations_ended", "Generations that have ended.", ["model", "status"]),
    "verdicts": ("limn_verdicts", "fal's verdicts, by who told of them first.", ["by"]),
    "callbacks": ("limn_callbacks", "fal's genuine callbacks, by what became of them.", ["verdict"]),
    "refused": (
        "limn_callbacks_refused",
        "Callbacks that were not believed or not understood, by the status of our answer.",
        ["status"],
    ),
    "copies": ("limn_copies", "Files of generations that have ended.", ["result"]),
}
_HISTOGRAMS: dict[str, tuple[str, str, str]] = {
    "request seconds": ("fal_request_duration_seconds", "From fal's receipt to its answer.", "endpoint"),
    "generation seconds": ("limn_generation_seconds", "From the order to the last file in storage.", "model"),
}


def _gauges() -> Iterator[Metric]:
    yield from _under_way()
    yield from _queues()
    yield _gauge("limn_breaker_open", "1 while fal refuses our key or account.", int(circuit_breaker.is_open()))
    yield _gauge("limn_intake_paused", "1 while no orders are taken.", int(order_intake.is_paused()))
    yield _labelled("limn_alerts", "Alerts that are on.", "alert", alerts.counts())
    yield _labelled("limn_worker_silence_seconds", "Since it was last seen alive.", "worker", _silence())
    ended = statistics.ended()
    told = statistics.percent(order.by_callback for order in ended if order.by_callback is not None)
    bad = statistics.percent(order.is_bad for order in ended)
    shares = {"callback": told, "failed": bad}
    yield _labelled(
        "limn_last_hour_ratio",
        "Of the last hour: which share of fal's verdicts came by callback; which share of orders failed.",
        "of",
        {name: share / 100 for name, share in shares.items() if share is not None},
    )


def _under_way() -> Iterator[Metric]:
    now = timezone.now()
    rows = Generation.objects.in_progress().order_by()
    depth = dict(rows.values_list("phase").annotate(Count("id")))
    phases = {phase.value: depth.get(phase, 0) for phase in Phase if phase != Phase.DONE}
    yield _labelled("limn_generations_under_way", "Generations, by where they stand.", "phase", phases)
    older = {age: Sum("credits", filter=Q(created_at__lt=now - than)) for age, than in AGES.items()}
    held = rows.aggregate(all=Sum("credits"), **{f"older_{age}": sums for age, sums in older.items()})
    risk = {"any": held["all"] or 0, **{age: held[f"older_{age}"] or 0 for age in AGES}}
    yield _labelled("limn_held_credits", "Credits held for orders under way that are older than this.", "older", risk)


def _queues() -> Iterator[Metric]:
    due = {name: _due(rows) for name, rows in _waiting().items()}
    depth = {name: count for name, (count, _) in due.items()}
    yield _labelled("limn_queue_depth", "How much is due and not done yet.", "queue", depth)
    ages = {name: seconds for name, (_, seconds) in due.items()}
    yield _labelled("limn_queue_oldest_seconds", "Since when the oldest of it is due.", "queue", ages)


def _waiting() -> dict[str, QuerySet[Any]]:
    # Said in so many words, SQLite sees that its index of what is under way will do.
    under_way = Generation.objects.in_progress()
    return {
        "submit": under_way.to_submit(),
        "ask": under_way.to_reconcile(),
        "copy": Output.objects.to_copy(),
        "webhook": WebhookDelivery.objects.to_send(),
        "mail": EmailNotification.objects.to_send(),
    }


def _due(rows: QuerySet[Model]) -> tuple[int, float]:
    """How many, and for how many seconds the first has been waiting."""
    age = ExpressionWrapper(Now() - Min("next_attempt_at"), output_field=DurationField())
    found = rows.order_by().aggregate(count=Count("pk"), age=age)
    return found["count"], found["age"].total_seconds() if found["age"] else 0.0


def _silence() -> dict[str, float]:
    since = ExpressionWrapper(Now() - F("seen_at"), output_field=DurationField())
    rows = Heartbeat.objects.values_list("name", since)
    return {name: silent.total_seconds() for name, silent in rows}


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _labelled(name: str, words: str, label: str, values: dict[str, Any]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for each, value in sorted(values.items()):
        family.add_metric([each], value)
    return family
