"""How long a model usually takes: by our own history, and by its declaration until there is one."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from django.core.cache import cache
from django.db.models import DurationField, ExpressionWrapper, F

from generations.catalogue import Model
from generations.models import Generation, Status

# Enough for every model in use to be among them, and little enough to read in a millisecond.
LOOK_BACK = 500
REMEMBER_SECONDS = 60
_KEY = "generations.typical_seconds"


def seconds(model: Model) -> int:
    measured: dict[str, int] = cache.get_or_set(_KEY, _measure, REMEMBER_SECONDS) or {}
    return measured.get(model.slug, model.typical_seconds)


def _measure() -> dict[str, int]:
    """From the order to the file in storage, of those that completed lately."""
    completed = Generation.objects.filter(status=Status.COMPLETED, finished_at__isnull=False)
    durations: dict[str, list[float]] = defaultdict(list)
    duration = ExpressionWrapper(F("finished_at") - F("created_at"), output_field=DurationField())
    for slug, took in completed.order_by("-id").values_list("model", duration)[:LOOK_BACK]:
        durations[slug].append(took.total_seconds())
    return {slug: max(1, round(median(those))) for slug, those in durations.items()}
