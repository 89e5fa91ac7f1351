"""Attempts to write files to the storage. Each is on record before its first byte, so that its rest can be deleted."""

from __future__ import annotations

from typing import cast

from django.db import models
from django.db.models import ExpressionWrapper, F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from database.clock import from_now
from database.time_scale import scaled
from generations.models.output import Output
from generations.models.upload import Upload

# A request that a process has given up may still arrive at a bucket. After this time it does not.
PAUSE_SECONDS = scaled(600)
# What a killed or suspended process has left is deleted again after pauses that double. The last deletion is a week
# after the first: a process that is suspended for longer, and killed before it has deleted its file, leaves it.
CLEANUPS_MAX = 10


class WriteAttemptQuerySet(models.QuerySet["WriteAttempt"]):
    def to_clean_up(self) -> WriteAttemptQuerySet:
        return self.filter(next_cleanup_at__lte=Now())

    def of(self, owner: Output | Upload) -> WriteAttemptQuerySet:
        """Return the attempt of the process that holds, or held, the lease of this row."""
        return self.filter(**{"lease": owner.lease, owner._meta.model_name or "": owner})

    def end(self) -> int:
        """Record that their processes write nothing more."""
        return self.update(is_over=True, next_cleanup_at=WriteAttempt.pause())

    def clean_up_again(self) -> int:
        """Record that their places were emptied although their processes may still write there."""
        pauses = (models.When(cleanups=n, then=from_now(PAUSE_SECONDS * 2**n)) for n in range(1, CLEANUPS_MAX))
        return self.update(
            cleanups=F("cleanups") + 1, next_cleanup_at=models.Case(*pauses, default=WriteAttempt.pause())
        )


class WriteAttempt(models.Model):
    """One attempt to store an output, or the files of an upload, at a place that no other attempt uses.

    The row is written by the statement that claims the output, or right after the claim of the upload. It is removed
    when the row of the output or upload names a file at the place, or when the place is empty and stays so.
    """

    output = models.ForeignKey(Output, on_delete=models.CASCADE, null=True, related_name="write_attempts")
    upload = models.ForeignKey(
        Upload, on_delete=models.CASCADE, null=True, related_name="write_attempts", db_index=False
    )
    lease = models.UUIDField()
    """That of the process, as it was when it claimed the output or upload."""
    is_over = models.BooleanField(default=False)
    """Whether the process has reported that it writes nothing more."""
    cleanups = models.PositiveSmallIntegerField(default=0)
    """How often the place was emptied while the process may have been writing."""
    next_cleanup_at = models.DateTimeField()

    objects = WriteAttemptQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(output__isnull=True) ^ Q(upload__isnull=True), name="generations_attempt_has_one_owner"
            )
        ]
        indexes = [
            models.Index(fields=["next_cleanup_at"], name="generations_attempts_clean_up"),
            # Of few uploads and for a short time.
            models.Index(fields=["upload"], name="generations_attempts_of_upload", condition=Q(upload__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.place

    @staticmethod
    def pause() -> ExpressionWrapper[Combinable]:
        """Return the time at which the place of an attempt is looked at again, as an expression."""
        return from_now(PAUSE_SECONDS)

    @property
    def owner(self) -> Output | Upload:
        """The output or upload whose files it writes."""
        # A constraint says that it has one.
        return cast("Output | Upload", self.output or self.upload)

    @property
    def place(self) -> str:
        """The beginning of the keys of all files that it may write; a dot follows."""
        return self.owner.place_of(self.lease)

    @property
    def may_win(self) -> bool:
        """Whether its process still holds the lease, so that its file may become the one that the row names."""
        return self.owner.state == "pending" and self.owner.lease == self.lease

    @property
    def has_won(self) -> bool:
        """Whether the row names the file of this attempt."""
        return self.owner.state in ("stored", "ready") and self.owner.key.startswith(f"{self.place}.")
