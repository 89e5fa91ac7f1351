"""The tables of notifications: notification settings, webhook endpoints, deliveries with their attempts, and e-mails.

Deliveries and e-mails form the outbox: `outbox` writes them in the transaction of the event that they report. The
workers `notifier` and `mailer` send them afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from credits.models import Account
from database import clock
from database.foreign_keys import filter_by
from database.ids import new_id, new_token
from generations.jobs.leased_model import Leased
from generations.jobs.leases import lease_free
from generations.models import WEBHOOK_URL_CHARACTERS_MAX, Batch, Generation

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class WebhookType(models.TextChoices):
    """The `type` of a webhook message, as defined by Standard Webhooks."""

    COMPLETED = "generation.completed"
    FAILED = "generation.failed"
    PROGRESSED = "generation.progressed"
    CREDITS_LOW = "credits.low"
    TEST = "webhook.test"


class SecretHolder(models.Model):
    """A row with a signing secret. The secret is not stored: it is derived from SECRET_KEY and the salt."""

    salt = models.CharField(max_length=64, default=new_token, editable=False)
    previous_salt = models.CharField(max_length=64, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)
    """Until then, messages are signed with the previous secret as well."""

    class Meta:
        abstract = True


class Subscriber(SecretHolder):
    """The notification settings of one account, and the secret that signs webhooks to the URLs of its orders.

    Created when the account first uses notifications or the event feed. For an account without this row, an event costs
    one query.
    """

    class EmailPreference(models.TextChoices):
        WHEN_ASKED = "when_asked", "when an order requests it"
        ALWAYS = "always", "about everything that ends"
        NEVER = "never", "never"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.OneToOneField(Account, on_delete=models.PROTECT, related_name="subscriber")
    email_preference = models.CharField(
        max_length=10, choices=EmailPreference, default=EmailPreference.WHEN_ASKED, verbose_name="e-mail preference"
    )
    last_event_number = models.PositiveBigIntegerField(default=0, editable=False)
    """The number of the newest numbered event in the account's feed (see `event_feed`)."""
    created_at = models.DateTimeField(default=clock.now, editable=False)

    def __str__(self) -> str:
        return f"{self.account}"


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def visible_to(self, user: User | AnonymousUser) -> WebhookEndpointQuerySet:
        """Return the endpoints of this user that are not removed."""
        if not user.is_authenticated:
            return self.none()
        return filter_by(self, "account", user=user).filter(deleted_at=None)

    def enabled(self) -> WebhookEndpointQuerySet:
        """Return the endpoints that messages are sent to."""
        return self.filter(disabled_at=None, deleted_at=None)


class WebhookEndpoint(SecretHolder):
    """A URL, registered by a customer, to which webhooks are sent. When it is removed, the row stays for its log."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="webhook_endpoints")
    url = models.CharField(max_length=WEBHOOK_URL_CHARACTERS_MAX)
    description = models.CharField(max_length=200, blank=True)
    types = models.JSONField(default=list)
    credits_low_at = models.BigIntegerField(null=True)
    """The threshold: `credits.low` is sent when fewer credits than this are available."""
    is_low = models.BooleanField(default=False, editable=False)
    """Whether fewer were available at the last check, so that each crossing of the threshold is reported once."""
    failing_since = models.DateTimeField(null=True, editable=False)
    """The first failure since the last success. Empty while deliveries succeed."""
    disabled_at = models.DateTimeField(null=True)
    disabled_because = models.CharField(max_length=200, blank=True)
    deleted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(
                fields=["account"],
                name="notifications_enabled_of",
                condition=Q(disabled_at=None, deleted_at=None),
            )
        ]

    def __str__(self) -> str:
        return self.url[:100]

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None and self.deleted_at is None


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def visible_to(self, user: User | AnonymousUser) -> WebhookDeliveryQuerySet:
        """Return the deliveries of this user's account."""
        if not user.is_authenticated:
            return self.none()
        return filter_by(self, "account", user=user)

    def to_send(self) -> WebhookDeliveryQuerySet:
        """Return the deliveries that are due and that no worker holds."""
        return self.filter(lease_free(), next_attempt_at__lte=Now())


class WebhookDelivery(Leased):
    """One webhook message to one URL. Written in the transaction of its event: sent if, and only if, that commits."""

    class State(models.TextChoices):
        PENDING = "pending", "is due, or will be"
        DELIVERED = "delivered", "answered with a 2xx status"
        EXHAUSTED = "exhausted", "given up; it can be sent again by hand"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    message_id = models.UUIDField(default=new_id, editable=False)
    """The `webhook-id` without its prefix: the same for all deliveries of one event, and for all attempts."""
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="webhook_deliveries", db_index=False)
    endpoint = models.ForeignKey(
        WebhookEndpoint, null=True, on_delete=models.PROTECT, related_name="deliveries", db_index=False
    )
    url = models.CharField(max_length=WEBHOOK_URL_CHARACTERS_MAX, blank=True)
    """The URL of an order (`webhook_url`), if there is no endpoint."""
    type = models.CharField(max_length=30, choices=WebhookType)
    generation = models.ForeignKey(Generation, null=True, on_delete=models.PROTECT, related_name="webhook_deliveries")
    version = models.PositiveIntegerField(null=True)
    """The version of the generation at the time of the event."""
    data = models.JSONField(default=dict)
    """The state at the time of the event. Ids and URLs are added when the message is sent."""
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    detail = models.CharField(max_length=200, blank=True)
    """Why it was given up."""
    tries = models.PositiveIntegerField(default=0, editable=False)
    """How many attempts have a recorded outcome. (`attempts` also counts those whose worker died.)"""
    happened_at = models.DateTimeField(default=clock.now, editable=False)
    delivered_at = models.DateTimeField(null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["generation", "version", "type", "endpoint"],
                condition=Q(endpoint__isnull=False, generation__isnull=False),
                name="notifications_once_per_endpoint",
            ),
            models.UniqueConstraint(
                fields=["generation", "version", "type"],
                condition=Q(endpoint=None, generation__isnull=False),
                name="notifications_once_per_order_url",
            ),
            models.CheckConstraint(
                condition=Q(endpoint=None) & ~Q(url="") | Q(endpoint__isnull=False, url=""),
                name="notifications_webhook_has_one_url",
            ),
            # I15: a delivery that is neither delivered nor given up has a time for its next attempt.
            models.CheckConstraint(
                condition=Q(state="pending", next_attempt_at__isnull=False)
                | ~Q(state="pending") & Q(next_attempt_at=None),
                name="notifications_pending_webhook_is_due",
            ),
        ]
        indexes = [
            # SQLite takes an index of `IS NOT NULL` for a comparison, but not one of `NOT (… IS NULL)`.
            models.Index(
                fields=["next_attempt_at"],
                name="notifications_webhooks_next",
                condition=Q(next_attempt_at__isnull=False),
            ),
            models.Index(fields=["account", "-id"], name="notifications_webhooks_of"),
            models.Index(fields=["account", "state", "-id"], name="notifications_webhooks_state"),
            models.Index(
                fields=["endpoint", "-id"], name="notifications_webhooks_to", condition=Q(endpoint__isnull=False)
            ),
            models.Index(fields=["happened_at"], name="notifications_webhooks_old"),
        ]

    def __str__(self) -> str:
        return f"{self.type} to {self.address}"[:100]

    @property
    def address(self) -> str:
        """The URL that it is sent to: the endpoint's present one, or that of the order."""
        return self.endpoint.url if self.endpoint else self.url

    @property
    def webhook_id(self) -> str:
        """The message id that receivers see. They recognise repetitions by it."""
        return f"msg_{self.message_id.hex}"


class WebhookAttempt(models.Model):
    """One POST of a delivery, and its outcome."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    """The HTTP status. Empty if there was no response; then `error` says why."""
    duration_ms = models.PositiveIntegerField()
    answer = models.CharField(max_length=1000, blank=True)
    """The beginning of the response body."""
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.status or self.error}"


class EmailNotificationQuerySet(models.QuerySet["EmailNotification"]):
    def to_send(self) -> EmailNotificationQuerySet:
        """Return the e-mails that are due, including those that a worker holds."""
        return self.filter(state=EmailNotification.State.PENDING, next_attempt_at__lte=Now())


class EmailNotification(Leased):
    """An e-mail to a customer about one generation, one batch or a disabled endpoint. It is sent at most once."""

    class State(models.TextChoices):
        PENDING = "pending", "to be sent"
        SENT = "sent", "handed to the mail server, unless its worker died meanwhile"
        GIVEN_UP = "given_up", "not sent, or unknown whether it was"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="email_notifications")
    generation = models.OneToOneField(
        Generation, null=True, on_delete=models.PROTECT, related_name="email_notification"
    )
    batch = models.OneToOneField(Batch, null=True, on_delete=models.PROTECT, related_name="email_notification")
    endpoint = models.ForeignKey(
        WebhookEndpoint, null=True, on_delete=models.PROTECT, related_name="email_notifications"
    )
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    detail = models.CharField(max_length=300, blank=True)
    """Why it was given up, or the last error of the mail server."""
    created_at = models.DateTimeField(default=clock.now, editable=False)
    sent_at = models.DateTimeField(null=True)

    objects = EmailNotificationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(generation__isnull=False, batch=None, endpoint=None)
                | Q(generation=None, batch__isnull=False, endpoint=None)
                | Q(generation=None, batch=None, endpoint__isnull=False),
                name="notifications_email_has_one_subject",
            )
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="notifications_emails_due", condition=Q(state="pending"))
        ]

    def __str__(self) -> str:
        return f"e-mail about {self.subject}"

    @property
    def subject(self) -> Generation | Batch | WebhookEndpoint | None:
        """The row that it is about. A constraint ensures that there is exactly one."""
        return self.generation or self.batch or self.endpoint
