"""The heartbeats of the background work in the admin."""

from __future__ import annotations

from django.contrib import admin
from django.utils.timesince import timesince

from credits.read_only_admin import ReadOnlyAdmin
from generations.models import Heartbeat


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("name", "seen_at", "ago")
    ordering = ("name",)

    @admin.display(description="ago")
    def ago(self, heartbeat: Heartbeat) -> str:
        return timesince(heartbeat.seen_at)
