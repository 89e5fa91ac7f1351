"""Uploads: images that customers send."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import Q

from database import clock
from database.foreign_keys import filter_by
from database.ids import new_id
from generations.jobs.leased_model import Leased

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class UploadQuerySet(models.QuerySet["Upload"]):
    def visible_to(self, user: User | AnonymousUser) -> UploadQuerySet:
        """Return the uploads of this user that are not erased."""
        if not user.is_authenticated:
            return self.none()
        return filter_by(self, "account", user=user).exclude(state=Upload.State.ERASED)

    def ready(self) -> UploadQuerySet:
        return self.filter(state=Upload.State.READY)

    def counted_in_quota(self) -> UploadQuerySet:
        """Return the uploads whose bytes are stored or may still be: refused ones too, until they are cleaned up."""
        return self.filter(Q(state=Upload.State.READY) | Q(cleaned_up_at=None))


class Upload(Leased):
    """One image of a customer: declared, uploaded, inspected. The lease belongs to the process that inspects it."""

    class State(models.TextChoices):
        PENDING = "pending", "declared; its bytes may have arrived"
        READY = "ready", "inspected, and can be used"
        REFUSED = "refused", "not an image"
        EXPIRED = "expired", "never completed"
        ERASED = "erased", "deleted by its owner or by a retention rule"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("credits.Account", on_delete=models.PROTECT, related_name="uploads", db_index=False)
    file_name = models.CharField(max_length=255)
    """The name that its owner gave it. It is only shown, and never becomes part of a path."""
    declared_type = models.CharField(max_length=50)
    declared_size_bytes = models.BigIntegerField()
    """The declared length in bytes. Exactly this many are accepted."""
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    detail = models.CharField(max_length=300, blank=True)
    """Why it was refused."""

    key = models.CharField(max_length=200, blank=True)
    thumbnail_key = models.CharField(max_length=200, blank=True)
    content_type = models.CharField(max_length=50, blank=True)
    size_bytes = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    thumbnail_size_bytes = models.PositiveIntegerField(null=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)

    created_at = models.DateTimeField(default=clock.now, editable=False)
    expires_at = models.DateTimeField()
    """Until then its bytes may be uploaded."""
    completed_at = models.DateTimeField(null=True)
    cleaned_up_at = models.DateTimeField(null=True)
    """When the place of its incoming bytes was cleaned up. Nothing can be there any more."""

    objects = UploadQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="ready")
                | (~Q(key="") & ~Q(thumbnail_key="") & ~Q(sha256="") & Q(size_bytes__isnull=False, size_bytes__gt=0)),
                name="generations_upload_is_verified",
            )
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="generations_uploads_of_account"),
            models.Index(fields=["created_at"], name="generations_uploads_clean_up", condition=Q(cleaned_up_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.file_name} ({self.id})"

    def place_of(self, lease: UUID | None) -> str:
        """Return the beginning of the keys under which the holder of this lease stores the files; a dot follows."""
        return f"uploads/{self.id}/{lease}"

    @property
    def incoming_key(self) -> str:
        """The storage key that its owner uploads to. Nothing is served from there."""
        return f"uploads/{self.id}/incoming"
