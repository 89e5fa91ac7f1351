"""Serializers of a generation's progress that both the API and the event feed show."""

from __future__ import annotations

from rest_framework import serializers

from generations.models import Event


class EventSerializer(serializers.ModelSerializer[Event]):
    """One event of the timeline, without the notes and the names of staff."""

    actor = serializers.SerializerMethodField(help_text="user, staff, fal or limn")

    class Meta:
        model = Event
        fields = ("fact", "actor", "status", "phase", "version", "note", "held_change", "balance_change", "created_at")
        read_only_fields = fields

    def get_actor(self, event: Event) -> str:
        return event.actor.partition(":")[0]
