"""The Django app of notifications: webhooks and e-mail to customers, and the event feed."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Notifications"

    def ready(self) -> None:
        """Register the outbox with the lifecycle, so that every event is offered to it in its own transaction."""
        # Imported here, because both need the models, which Django has loaded only now.
        from generations.progress.event_hook import on_event  # noqa: PLC0415
        from notifications import outbox, statements  # noqa: PLC0415

        on_event(outbox.record, reads=statements.EMAIL_PREFERENCE)
