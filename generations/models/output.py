"""Outputs: the files of a result. The copier works on them, and the last one to end completes the generation."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from database.ids import new_id
from database.time_scale import scaled
from generations.jobs.leased_model import Leased
from generations.models.generation import Generation
from generations.models.inquiry import Inquiry

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class OutputQuerySet(models.QuerySet["Output"]):
    def visible_to(self, user: User | AnonymousUser) -> OutputQuerySet:
        if not user.is_authenticated:
            return self.none()
        return self.filter(generation__account__user=user)

    def stored(self) -> OutputQuerySet:
        return self.filter(state=Output.State.STORED)

    def to_copy(self) -> OutputQuerySet:
        return self.filter(state=Output.State.PENDING, next_attempt_at__lte=Now())


class Output(Leased, Inquiry):
    """One file of a result, on its way into the operator's storage or stored there."""

    # A large file takes a quarter of an hour.
    LATE_MAX = timedelta(seconds=scaled(1500))

    class State(models.TextChoices):
        PENDING = "pending"
        STORED = "stored"
        LOST = "lost"
        ERASED = "erased"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    generation = models.ForeignKey(Generation, on_delete=models.PROTECT, related_name="outputs", db_index=False)
    index = models.PositiveIntegerField()
    role = models.CharField(max_length=200)
    counts = models.BooleanField(default=True)
    """Whether the customer pays for it. A preview or a mask is free."""
    source_url = models.TextField()
    claimed_size_bytes = models.BigIntegerField(null=True)
    flagged = models.BooleanField(default=False)

    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    key = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=10, blank=True)
    content_type = models.CharField(max_length=100, blank=True)
    size_bytes = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    duration_seconds = models.FloatField(null=True)
    detail = models.CharField(max_length=500, blank=True)
    misses = models.PositiveIntegerField(default=0)
    """How often it was not where fal said, or was broken. An outage of the operator's storage does not count."""
    give_up_at = models.DateTimeField()
    stored_at = models.DateTimeField(null=True)

    objects = OutputQuerySet.as_manager()

    class Meta:
        ordering = ("index",)
        constraints = [
            models.UniqueConstraint(fields=["generation", "index"], name="generations_output_index_once"),
            models.CheckConstraint(
                condition=~Q(state="stored")
                | (~Q(key="") & ~Q(sha256="") & Q(size_bytes__isnull=False, size_bytes__gt=0)),
                name="generations_stored_is_verified",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="generations_outputs_due", condition=Q(state="pending"))
        ]

    def __str__(self) -> str:
        return f"{self.role} of {self.generation_id}"

    def place_of(self, lease: UUID | None) -> str:
        """Return the beginning of the key under which the holder of this lease stores the file; a dot follows.

        It contains nothing from outside. Each attempt has a place of its own: a process that has lost the lease may
        still be writing, and changes nothing that the row names.
        """
        return f"generations/{self.generation_id}/{self.index}-{lease}"
