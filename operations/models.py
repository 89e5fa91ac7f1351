"""The tables of operations: fal's bill, the alert episodes that have not ended, and the sums behind the metrics."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from database import clock
from generations.models import Submission


class Charge(models.Model):
    """One line of fal's bill, as fal's Platform API returned it. `provider_bill` is its only writer."""

    submission = models.ForeignKey(Submission, null=True, on_delete=models.PROTECT, related_name="charges")
    """The submission that it is for. Empty if no submission of this installation has the request id."""
    request_id = models.CharField(max_length=100)
    endpoint = models.CharField(max_length=200)
    billed_at = models.DateTimeField()
    units = models.DecimalField(max_digits=20, decimal_places=9)
    dollars = models.DecimalField(max_digits=20, decimal_places=9)
    """US dollars, after discounts."""
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ("-billed_at", "-id")
        constraints = [
            models.UniqueConstraint(fields=["request_id", "endpoint", "billed_at"], name="operations_charge_once")
        ]
        indexes = [models.Index(fields=["billed_at"], name="operations_charges_by_time")]

    def __str__(self) -> str:
        return f"{self.dollars:f} USD for {self.request_id}"


class AlertEpisode(models.Model):
    """An alert that has begun and not ended. `alerts` deletes the row when the episode ends."""

    name = models.CharField(max_length=20)
    """A key of `alert_rules.TITLES`."""
    subject = models.CharField(max_length=40, blank=True)
    """The slug of a model, or an account. Empty if it concerns all."""
    started_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ("name", "subject")
        constraints = [models.UniqueConstraint(fields=["name", "subject"], name="operations_one_episode")]

    def __str__(self) -> str:
        return f"{self.name} {self.subject}".strip()


class StoredSums(models.Model):
    """The sums over the old rows of one table. `running_totals` is its only writer."""

    name = models.CharField(max_length=20)
    last_id = models.BigIntegerField(default=0)
    """The sums include every row up to this id."""
    sums = models.JSONField(default=list)
    """Each sum as a list: its key, and then its value."""

    class Meta:
        verbose_name_plural = "stored sums"
        constraints = [models.UniqueConstraint(fields=["name"], name="operations_sums_once")]

    def __str__(self) -> str:
        return f"{self.name} up to {self.last_id}"
