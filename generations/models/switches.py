"""State that all processes share about taking orders: turns of accounts, and the switch that pauses orders."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class LastServed(models.Model):
    """When a submission of an account was last sent. The account that waits longest is next."""

    account = models.OneToOneField(
        "credits.Account", on_delete=models.CASCADE, primary_key=True, related_name="last_served"
    )
    served_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.account_id} at {self.served_at:%H:%M:%S}"


class OrderIntake(models.Model):
    """Whether new orders are accepted. One row for all processes; see `ordering.order_intake`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    paused_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "order intake"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="generations_one_order_intake")]

    def __str__(self) -> str:
        return f"paused: {self.reason or 'no reason given'}" if self.paused_at else "open"
