"""The gauges of /metrics: the state at the moment of the scrape. `metrics.Collector` calls `collect`.

They read unfinished work only, which partial indexes keep apart, so a scrape does not become slower with time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from django.db.models import Count, DurationField, ExpressionWrapper, F, Min, Model, Q, QuerySet, Sum
from django.db.models.functions import Now
from prometheus_client.core import GaugeMetricFamily, Metric

from database import clock
from generations.models import Generation, Heartbeat, Output, Phase, StorageReport
from generations.ordering import order_intake
from generations.provider import circuit_breaker
from notifications.models import EmailNotification, WebhookDelivery
from operations import alerts, statistics

AGES = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1), "1d": timedelta(days=1)}


def collect() -> Iterator[Metric]:
    """Yield every gauge, with a fixed number of queries."""
    yield from generations_under_way()
    yield from queues()
    is_open, is_paused = circuit_breaker.is_open(), order_intake.is_paused()
    yield GaugeMetricFamily("limn_breaker_open", "1 while fal rejects the key or the account.", value=int(is_open))
    yield GaugeMetricFamily("limn_intake_paused", "1 while order intake is paused.", value=int(is_paused))
    yield _gauge("limn_alerts", "Active alerts.", "alert", alerts.counts())
    yield from storage()
    silence = ExpressionWrapper(Now() - F("seen_at"), output_field=DurationField())
    heartbeats = Heartbeat.objects.values_list("name", silence)
    seconds = {name: silent.total_seconds() for name, silent in heartbeats}
    yield _gauge("limn_worker_silence_seconds", "Time since the last heartbeat of each worker.", "worker", seconds)
    ended = statistics.ended_generations()
    shares = {
        "callback": statistics.percent(each.by_callback for each in ended if each.by_callback is not None),
        "failed": statistics.percent(each.is_failure for each in ended),
    }
    yield _gauge(
        "limn_last_hour_ratio",
        "Of the last hour: the share of verdicts that arrived by callback, and of generations that failed.",
        "of",
        {name: share / 100 for name, share in shares.items() if share is not None},
    )


def generations_under_way() -> Iterator[Metric]:
    """Yield the number of unfinished generations by phase, and the credits that are held for them by age."""
    now = clock.now()
    unfinished = Generation.objects.in_progress().order_by()
    counts = dict(unfinished.values_list("phase").annotate(Count("id")))
    phases = {phase.value: counts.get(phase, 0) for phase in Phase if phase != Phase.DONE}
    yield _gauge("limn_generations_under_way", "Unfinished generations in each phase.", "phase", phases)
    held = unfinished.aggregate(
        any=Sum("credits"),
        **{age: Sum("credits", filter=Q(created_at__lt=now - than)) for age, than in AGES.items()},
    )
    credits = {age: amount or 0 for age, amount in held.items()}
    yield _gauge("limn_held_credits", "Credits held for unfinished generations older than this.", "older", credits)


def queues() -> Iterator[Metric]:
    """Yield the depth of each queue of due work, and the age of its oldest item."""
    # in_progress() repeats the condition of the partial index of unfinished generations, so that SQLite uses it.
    unfinished = Generation.objects.in_progress()
    due: dict[str, QuerySet[Model]] = {
        "submit": unfinished.to_submit(),
        "ask": unfinished.to_reconcile(),
        "copy": Output.objects.to_copy(),
        "webhook": WebhookDelivery.objects.to_send(),
        "mail": EmailNotification.objects.to_send(),
    }
    depths, ages = {}, {}
    for name, rows in due.items():
        # By the database's clock, which also decided when the rows are due.
        age = ExpressionWrapper(Now() - Min("next_attempt_at"), output_field=DurationField())
        found = rows.order_by().aggregate(count=Count("pk"), age=age)
        depths[name] = found["count"]
        ages[name] = found["age"].total_seconds() if found["age"] else 0.0
    yield _gauge("limn_queue_depth", "Due and unfinished work in each queue.", "queue", depths)
    yield _gauge("limn_queue_oldest_seconds", "The age of the oldest due item in each queue.", "queue", ages)


def storage() -> Iterator[Metric]:
    """Yield what the last pass of the storage cleaner found; 0 before the first pass has ended."""
    report = StorageReport.objects.first() or StorageReport(unknown_files=0, missing_files=0)
    unknown, missing = "Files in the storage that no row names.", "Stored files that are missing from the storage."
    yield GaugeMetricFamily("limn_storage_unknown_files", unknown, value=report.unknown_files)
    yield GaugeMetricFamily("limn_storage_missing_files", missing, value=report.missing_files)


def _gauge(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for label_value, value in sorted(values.items()):
        family.add_metric([label_value], value)
    return family
