"""What limits us towards fal, and customers towards us. Rows, so that all processes share them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from credits.models import Account


class Bucket(models.Model):
    """How much of a rate is used up, told as one moment: when the bucket will be full again. See `buckets`."""

    name = models.CharField(max_length=100, primary_key=True)
    full_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name


class Turn(models.Model):
    """When an account was last allowed to hand something to fal: whoever waits for longest is next."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, primary_key=True, related_name="turn")
    served_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.account_id} at {self.served_at:%H:%M:%S}"


class Intake(models.Model):
    """Whether orders are taken. One row, one switch for all processes."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    paused_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "intake"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="generations_one_intake")]

    def __str__(self) -> str:
        return f"paused: {self.reason or 'no reason given'}" if self.paused_at else "open"


class UserLimits(models.Model):
    """What staff allow one customer instead of the settings. Empty: as everybody; 0: without limit."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="limits")
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    running_max = models.PositiveIntegerField(null=True, blank=True)
    credits_per_day = models.PositiveIntegerField(null=True, blank=True)
    credits_per_month = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "user limits"

    def __str__(self) -> str:
        return f"limits of {self.account}"
