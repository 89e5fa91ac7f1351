"""An outage of Limn that has lasted for hours: nothing was asked, and all that is in progress has aged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import DateTimeField, F, Model, QuerySet

from generations.models import Generation, Output, Submission
from simulator import Simulator
from tests.helpers.clocks import just_passed


def let_outage_pass(duration: timedelta, *fal: Simulator) -> None:
    """Move all times of what is in progress into the past, and those of fal's record."""
    unfinished = Generation.objects.in_progress()
    ids = list(unfinished.values_list("pk", flat=True))
    for rows in (Submission.objects.filter(generation__in=ids), Output.objects.filter(generation__in=ids), unfinished):
        _age(rows, duration)
    for simulator in fal:
        simulator.age(duration.total_seconds(), "")


def let_patience_end(patience: timedelta) -> None:
    """Make what fal has not answered remain unanswered for as long as `patience`, up to this moment."""
    now = just_passed()
    for table in (Generation, Output):
        rows = table._default_manager.exclude(unanswered_since=None)
        rows.update(unanswered_since=now - patience, unanswered_until=now)


def _age(rows: QuerySet[Any], duration: timedelta) -> None:
    model: type[Model] = rows.model
    times = [field.name for field in model._meta.fields if isinstance(field, DateTimeField)]
    rows.update(**{name: F(name) - duration for name in times})
