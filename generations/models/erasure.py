"""Erasures, and the retentions of accounts."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from database import clock
from database.ids import new_id
from generations.jobs.leased_model import Leased
from generations.models.generation import Generation


class ErasureQuerySet(models.QuerySet["Erasure"]):
    def to_do(self) -> ErasureQuerySet:
        return self.filter(done_at=None, next_attempt_at__lte=Now())


class Erasure(Leased):
    """The receipt of an erasure: what was erased, when, and who requested it. The files are deleted after the rows."""

    class ProviderCopy(models.TextChoices):
        """What happened to the copies that fal keeps."""

        NONE = "none", "there was none"
        DELETED = "deleted", "deleted at the provider"
        KEPT = "kept", "not deleted because FAL_ADMIN_KEY is not set: the provider keeps it for some weeks"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    generation = models.OneToOneField(Generation, on_delete=models.PROTECT, related_name="erasure")
    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField(default=clock.now, editable=False)
    files = models.JSONField(default=list)
    """The files that were stored: [{"output", "role", "size", "sha256"}]."""
    provider_copy = models.CharField(max_length=10, choices=ProviderCopy, blank=True, db_default="")
    """Empty until the erasure is complete."""
    detail = models.CharField(max_length=500, blank=True)
    done_at = models.DateTimeField(null=True)

    objects = ErasureQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["next_attempt_at"], name="generations_to_erase", condition=Q(done_at=None))]

    def __str__(self) -> str:
        return f"erasure of {self.generation_id}"


class RetentionManager(models.Manager["Retention"]):
    def set_days(self, account_id: int, days: int | None) -> None:
        """Set the retention of an account in days. None: everything is kept."""
        if days is None:
            self.filter(account=account_id).delete()
        else:
            # `update_or_create` would take a stronger lock than needed (docs/decisions/0009-locks.md).
            changed = ["days", "changed_at"]
            rows = [self.model(account_id=account_id, days=days)]
            self.bulk_create(rows, update_conflicts=True, unique_fields=["account"], update_fields=changed)


class Retention(models.Model):
    """After how many days the generations and uploads of this account are erased. Without a row they are kept."""

    account = models.OneToOneField(
        "credits.Account", on_delete=models.PROTECT, primary_key=True, related_name="retention"
    )
    days = models.PositiveIntegerField()
    changed_at = models.DateTimeField(auto_now=True)

    objects = RetentionManager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(days__gte=1), name="generations_kept_for_a_day")]

    def __str__(self) -> str:
        return f"{self.days} days"
