"""Renders the events of a generation, for the API's timeline and for the event feed of the notifications app."""

from __future__ import annotations

from rest_framework import serializers

from generations.models import Event


class EventSerializer(serializers.ModelSerializer[Event]):
    """An event of a generation's timeline. The notes and names of staff are not published."""

    actor = serializers.SerializerMethodField(help_text="`user`, `staff`, `fal` or `limn`.")

    class Meta:
        model = Event
        fields = ("fact", "actor", "status", "phase", "version", "note", "held_change", "balance_change", "created_at")
        read_only_fields = fields

    def get_actor(self, event: Event) -> str:
        # Without the name: "staff:ann" is published as "staff".
        return event.actor.partition(":")[0]
