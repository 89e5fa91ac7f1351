"""Batches: generations that were ordered together. A batch has no status of its own; it ends with its generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from database import clock
from database.foreign_keys import filter_by
from database.ids import new_id

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from generations.models.generation import Generation


class BatchQuerySet(models.QuerySet["Batch"]):
    def visible_to(self, user: User | AnonymousUser) -> BatchQuerySet:
        if not user.is_authenticated:
            return self.none()
        return filter_by(self, "account", user=user)


class Batch(models.Model):
    """Generations of one request. They are ordered together or not at all, and each proceeds by itself from then on."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("credits.Account", on_delete=models.PROTECT, related_name="batches", db_index=False)
    purpose = models.CharField(max_length=20, blank=True)
    """What it was ordered as, if that is more than its generations: "infographics"."""
    notify = models.BooleanField(default=False)
    """Whether its owner wants an e-mail when all of its generations have ended."""
    notified_at = models.DateTimeField(null=True)
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001  (NULLs are distinct, "" is not)
    request_hash = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    new_generations: Sequence[Generation] = ()
    """Its generations as they were ordered, if this process has just placed it."""

    objects = BatchQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="generations_batch_key_once")
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="generations_batches_of_account"),
            models.Index(fields=["id"], name="generations_batches_to_tell", condition=Q(notify=True, notified_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.purpose or 'batch'} {self.id}"

    def keep_generations(self) -> None:
        """Let `generations.all()` return `new_generations` without a query, as a prefetch would."""
        rows = self.generations.all()
        rows._result_cache = list(self.new_generations)
        self._prefetched_objects_cache = {"generations": rows}
