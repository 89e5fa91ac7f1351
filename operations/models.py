"""Tables of the operations app: lines of the provider's bill, and alerts that are active."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from generations.models import Submission


class Charge(models.Model):
    """A line of fal's bill, as its Platform API gave it; US dollars, discounts taken off."""

    submission = models.ForeignKey(Submission, null=True, on_delete=models.PROTECT, related_name="charges")
    """The attempt that it is for. None: nobody here ordered it."""
    request_id = models.CharField(max_length=100)
    endpoint = models.CharField(max_length=200)
    billed_at = models.DateTimeField()
    units = models.DecimalField(max_digits=20, decimal_places=9)
    dollars = models.DecimalField(max_digits=20, decimal_places=9)
    noted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-billed_at", "-id")
        constraints = [
            models.UniqueConstraint(fields=["request_id", "endpoint", "billed_at"], name="operations_charge_once")
        ]
        indexes = [models.Index(fields=["billed_at"], name="operations_charges_by_time")]

    def __str__(self) -> str:
        return f"{self.dollars:f} USD for {self.request_id}"


class Alert(models.Model):
    """An alert that is active: from its first evaluation until it was not seen for the quiet period.

    One row per episode. `name` is the kind ("failures"), `subject` a model's slug or an account ("" for all).
    """

    name = models.CharField(max_length=20)
    subject = models.CharField(max_length=40, blank=True)
    started_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ("name", "subject")
        constraints = [models.UniqueConstraint(fields=["name", "subject"], name="operations_alert_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.subject}".strip()
