"""The price book: what staff charge for each model, from when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from database import clock

if TYPE_CHECKING:
    from datetime import datetime

# A price a hundred times the declared one is a typing error.
PERCENT_MAX = 10_000


class PriceBookQuerySet(models.QuerySet["PriceBookEntry"]):
    def in_force(self, at: datetime) -> PriceBookQuerySet:
        """Return the entries that are in force at this time. Of each model the last one counts."""
        return self.filter(effective_from__lte=at).order_by("effective_from", "id")


class PriceBookEntry(models.Model):
    """The price of a model from a moment on. Entries are only added; of those in force the newest counts."""

    model = models.CharField(max_length=100)
    percent = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Percentage of the list price, rounded up to whole credits. Empty: the list price.",
    )
    offered = models.BooleanField(default=True, help_text="Whether it can be ordered at all.")
    effective_from = models.DateTimeField(default=clock.now)
    note = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = PriceBookQuerySet.as_manager()

    class Meta:
        ordering = ("-effective_from", "-id")
        verbose_name_plural = "price book entries"
        constraints = [
            models.CheckConstraint(
                condition=Q(percent=None) | Q(percent__gte=0, percent__lte=PERCENT_MAX),
                name="generations_percent_is_sane",
            )
        ]
        indexes = [models.Index(fields=["model", "effective_from", "id"], name="generations_price_book")]

    def __str__(self) -> str:
        asked = "as declared" if self.percent is None else f"{self.percent} %"
        return f"{self.model}: {asked if self.offered else 'not on offer'} from {self.effective_from:%Y-%m-%d %H:%M}"
