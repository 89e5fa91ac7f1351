"""Uploads in the admin, and the input files of a generation as an inline."""

from __future__ import annotations

from django.contrib import admin

from credits.read_only_admin import ReadOnlyAdmin, ReadOnlyInline
from generations.models import InputFile, Upload


class InputFileInline(ReadOnlyInline):
    """The uploads and outputs that a generation works on."""

    model = InputFile
    fk_name = "generation"
    fields = ("path", "upload", "output")


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    list_display = ("id", "account", "state", "content_type", "size_bytes", "created_at")
    list_select_related = ("account__user",)
    list_filter = ("state",)
    search_fields = ("=id", "account__user__username")
    ordering = ("-id",)
