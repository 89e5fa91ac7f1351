"""What limits us towards fal, and customers towards us. Rows, so that all processes share them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class LastServed(models.Model):
    """When an account was last allowed to hand something to fal: whoever waits for longest is next."""

    account = models.OneToOneField(
        "credits.Account", on_delete=models.CASCADE, primary_key=True, related_name="last_served"
    )
    served_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.account_id} at {self.served_at:%H:%M:%S}"


class OrderIntake(models.Model):
    """Whether orders are taken. One row, one switch for all processes."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    paused_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "order intake"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="generations_one_order_intake")]

    def __str__(self) -> str:
        return f"paused: {self.reason or 'no reason given'}" if self.paused_at else "open"
