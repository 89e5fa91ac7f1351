"""What this database knows about its storage: the marks it has written there, and what the last pass found."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from database.ids import new_id


class StorageMark(models.Model):
    """A mark that this database has written to its storage, or was about to write (`files.storage_mark`)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.id)


class StorageReport(models.Model):
    """What the last complete pass of the storage cleaner found. One row."""

    unknown_files = models.PositiveIntegerField()
    """Files below the folders of Limn that no row names. They are counted, and never deleted by a worker."""
    unknown_bytes = models.PositiveBigIntegerField()
    first_unknown = models.CharField(max_length=1024, blank=True)
    """The key of one of them."""
    missing_files = models.PositiveIntegerField()
    """Stored files that rows name and that are not there."""
    ended_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.unknown_files} unknown files, {self.missing_files} missing files"
