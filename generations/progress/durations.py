"""How long the models usually take. The API and the pages show it as an estimate."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from django.core.cache import cache
from django.db import Error
from django.db.models import DurationField, ExpressionWrapper, F

from generations.catalogue import Model
from generations.models import Generation, Status

# Enough that every model in use is among them, and few enough to be read in a millisecond.
GENERATIONS_MAX = 500
CACHE_SECONDS = 60
_CACHE_KEY = "generations.typical_seconds"


def typical_seconds(model: Model) -> int:
    """Return the median seconds from the order to the stored files, of recently completed generations of this model.

    Without a completed generation it is the estimate that the catalogue declares.
    """
    medians: dict[str, int] | None = cache.get(_CACHE_KEY)
    if medians is None:
        durations: dict[str, list[float]] = defaultdict(list)
        completed = Generation.objects.filter(status=Status.COMPLETED, finished_at__isnull=False).order_by("-id")
        duration = ExpressionWrapper(F("finished_at") - F("created_at"), output_field=DurationField())
        try:
            for slug, took in completed.values_list("model", duration)[:GENERATIONS_MAX]:
                durations[slug].append(took.total_seconds())
        except Error:
            # An estimate is not worth an error: a new order is shown even if it cannot be read.
            return model.typical_seconds
        medians = {slug: max(1, round(median(seconds))) for slug, seconds in durations.items()}
        cache.set(_CACHE_KEY, medians, CACHE_SECONDS)
    return medians.get(model.slug, model.typical_seconds)
