"""The admin of notifications: endpoints without their secrets, deliveries with every attempt, e-mails and settings.

Staff can read everything and change nothing, except that permitted staff may send a delivery again.
"""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from credits.read_only_admin import ReadOnlyAdmin, ReadOnlyInline, has_permission
from notifications import outbox
from notifications.models import EmailNotification, Subscriber, WebhookAttempt, WebhookDelivery, WebhookEndpoint

SECRETS = ("salt", "previous_salt")
"""Never shown: together with SECRET_KEY they give the secret that signs a customer's messages."""


class WebhookAttemptInline(ReadOnlyInline):
    model = WebhookAttempt
    fields = ("at", "status", "duration_ms", "error", "answer")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "account", "failing_since", "disabled_at", "disabled_because", "deleted_at")
    list_select_related = ("account__user",)
    list_filter = (("disabled_at", admin.EmptyFieldListFilter), ("failing_since", admin.EmptyFieldListFilter))
    search_fields = ("url", "account__user__username")
    ordering = ("-id",)
    exclude = SECRETS


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = ("happened_at", "type", "account", "endpoint", "state", "tries", "next_attempt_at")
    list_select_related = ("account__user", "endpoint")
    list_filter = ("state", "type")
    search_fields = ("=id", "=generation__id", "account__user__username")
    ordering = ("-id",)
    inlines = (WebhookAttemptInline,)
    actions = ("resend",)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return has_permission(request, "notifications.change_webhookdelivery")

    @admin.action(description="Send again", permissions=["resend"])
    def resend(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        sent = [delivery for delivery in queryset.select_related("endpoint") if outbox.resend(delivery)]
        for delivery in sent:
            self.log_change(request, delivery, "Sent again")
        messages.info(
            request, f"{len(sent)} will be sent again. Nothing is sent to endpoints that are switched off or removed."
        )


@admin.register(EmailNotification)
class EmailNotificationAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "__str__", "account", "state", "sent_at", "detail")
    list_select_related = ("account__user", "generation", "batch", "endpoint")
    list_filter = ("state",)
    ordering = ("-id",)


@admin.register(Subscriber)
class SubscriberAdmin(ReadOnlyAdmin):
    list_display = ("account", "email_preference", "last_event_number", "created_at")
    list_select_related = ("account__user",)
    list_filter = ("email_preference",)
    ordering = ("-id",)
    exclude = SECRETS
