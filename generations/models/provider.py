"""State that all processes share: the account at fal, the circuit breaker, rejected callbacks and heartbeats."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from database import clock
from generations.models.submission import Submission


class FalAccount(models.Model):
    """The fal account whose callbacks are accepted if FAL_USER_ID is not set: the first that proved to be Limn's."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    user_id = models.CharField(max_length=200)
    pinned_at = models.DateTimeField(default=clock.now, editable=False)
    pinned_by = models.ForeignKey(Submission, on_delete=models.PROTECT)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="generations_one_fal_account")]

    def __str__(self) -> str:
        return self.user_id


class CircuitBreaker(models.Model):
    """Open while fal refuses Limn's key or account. One row for all processes; see `provider.circuit_breaker`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    opened_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500, blank=True)
    refused_at = models.DateTimeField(null=True)
    """When fal refused last."""
    probed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="generations_one_circuit_breaker")]

    def __str__(self) -> str:
        return f"open: {self.reason}" if self.opened_at else "closed"


class RejectedCallbacks(models.Model):
    """How many callbacks were rejected with this status so far; see `callbacks.rejections`."""

    status = models.PositiveSmallIntegerField(primary_key=True)
    number = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "rejected callbacks"

    def __str__(self) -> str:
        return f"{self.number} × {self.status}"


class Heartbeat(models.Model):
    """When a part of the background work was last seen; see `workers.heartbeats`."""

    name = models.CharField(max_length=50, primary_key=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
