"""Notifications as a Django app."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Notifications"

    def ready(self) -> None:
        from generations.lifecycle.event_hook import on_event  # noqa: PLC0415  (models are loaded only now)
        from notifications import outbox  # noqa: PLC0415

        on_event(outbox.record)
