"""What the storage cleaner found in the storage, in the admin."""

from __future__ import annotations

from django.contrib import admin

from credits.read_only_admin import ReadOnlyAdmin
from generations.models import StorageReport


@admin.register(StorageReport)
class StorageReportAdmin(ReadOnlyAdmin):
    list_display = ("ended_at", "unknown_files", "unknown_bytes", "first_unknown", "missing_files")
