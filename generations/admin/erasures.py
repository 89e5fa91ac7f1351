"""Erasures and retentions in the admin. The detail of an erasure says why it is not done yet."""

from __future__ import annotations

from django.contrib import admin

from credits.read_only_admin import ReadOnlyAdmin
from generations.models import Erasure, Retention


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    list_display = ("id", "generation", "asked_by", "asked_at", "done_at", "provider_copy", "attempts", "detail")
    list_select_related = ("generation",)
    list_filter = (("done_at", admin.EmptyFieldListFilter), "provider_copy")
    search_fields = ("=id", "=generation__id", "asked_by")
    ordering = ("-asked_at",)


@admin.register(Retention)
class RetentionAdmin(ReadOnlyAdmin):
    list_display = ("account", "days", "changed_at")
    list_select_related = ("account__user",)
    search_fields = ("account__user__username",)
    ordering = ("-changed_at",)
