"""What customers want to be told, and the telling of it: webhook endpoints, deliveries, their attempts, and mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from credits.models import Account
from database.ids import new_id, new_token
from generations.jobs.leased_model import Leased
from generations.jobs.leases import lease_free
from generations.models import WEBHOOK_URL_CHARACTERS_MAX, Batch, Generation

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class WebhookType(models.TextChoices):
    """The type of a message, as Standard Webhooks has it."""

    COMPLETED = "generation.completed"
    FAILED = "generation.failed"
    PROGRESSED = "generation.progressed"
    CREDITS_LOW = "credits.low"
    TEST = "webhook.test"


class Signing(models.Model):
    """Whoever messages are signed for. The secret is kept nowhere: it follows from SECRET_KEY and the salt."""

    salt = models.CharField(max_length=64, default=new_token, editable=False)
    previous_salt = models.CharField(max_length=64, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)
    """Until when messages are signed with the secret before this one as well."""

    class Meta:
        abstract = True


class Subscriber(Signing):
    """A customer who wants to be told something. Made with the first wish; who has none costs the lifecycle nothing."""

    class Mail(models.TextChoices):
        WHEN_ASKED = "when_asked", "when an order asks for it"
        ALWAYS = "always", "about everything that ends"
        NEVER = "never", "never"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.OneToOneField(Account, on_delete=models.PROTECT, related_name="subscriber")
    mail = models.CharField(max_length=10, choices=Mail, default=Mail.WHEN_ASKED)
    events_numbered = models.PositiveBigIntegerField(default=0, editable=False)
    """The number of the last event in this customer's feed (see `feed`)."""
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.account}"


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def visible_to(self, user: User | AnonymousUser) -> WebhookEndpointQuerySet:
        """The door: the endpoints of one's own that one has not removed."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(account__user=user, deleted_at=None)

    def listening(self) -> WebhookEndpointQuerySet:
        return self.filter(disabled_at=None, deleted_at=None)


class WebhookEndpoint(Signing):
    """An address of a customer's that is told of what happens. Removed, it stays as a row that its log refers to."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="webhook_endpoints")
    url = models.CharField(max_length=WEBHOOK_URL_CHARACTERS_MAX)
    description = models.CharField(max_length=200, blank=True)
    types = models.JSONField(default=list)
    credits_low_at = models.BigIntegerField(null=True)
    """`credits.low` is sent when fewer credits than this are available."""
    is_low = models.BooleanField(default=False, editable=False)
    """Whether they were fewer when last looked at: a crossing is told once."""
    failing_since = models.DateTimeField(null=True, editable=False)
    disabled_at = models.DateTimeField(null=True)
    disabled_because = models.CharField(max_length=200, blank=True)
    deleted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(
                fields=["account"], name="notifications_listening", condition=Q(disabled_at=None, deleted_at=None)
            )
        ]

    def __str__(self) -> str:
        return self.url[:100]

    @property
    def is_listening(self) -> bool:
        return self.disabled_at is None and self.deleted_at is None


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def visible_to(self, user: User | AnonymousUser) -> WebhookDeliveryQuerySet:
        if not user.is_authenticated:
            return self.none()
        return self.filter(account__user=user)

    def to_send(self) -> WebhookDeliveryQuerySet:
        """The deliveries that are due and that no worker holds."""
        return self.filter(lease_free(), next_attempt_at__lte=Now())


class WebhookDelivery(Leased):
    """One message to one address. Written in the transaction of what it tells of: it is sent if that has happened."""

    class State(models.TextChoices):
        PENDING = "pending", "is due, or will be"
        DELIVERED = "delivered", "a 2xx came back"
        EXHAUSTED = "exhausted", "given up; it can be sent again by hand"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    message = models.UUIDField(default=new_id, editable=False)
    """The webhook-id, without its prefix: the same for all addresses and all attempts."""
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="webhook_deliveries")
    endpoint = models.ForeignKey(WebhookEndpoint, null=True, on_delete=models.PROTECT, related_name="deliveries")
    url = models.CharField(max_length=WEBHOOK_URL_CHARACTERS_MAX, blank=True)
    """An order's own address, where it is no endpoint's."""
    type = models.CharField(max_length=30, choices=WebhookType)
    generation = models.ForeignKey(Generation, null=True, on_delete=models.PROTECT, related_name="webhook_deliveries")
    version = models.PositiveIntegerField(null=True)
    """The generation's, when it happened."""
    data = models.JSONField(default=dict)
    """What was so when it happened. Ids and addresses are added when it is sent."""
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    detail = models.CharField(max_length=200, blank=True)
    """Why it was given up."""
    tries = models.PositiveIntegerField(default=0, editable=False)
    """How often it was sent and an outcome noted."""
    happened_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["generation", "version", "type", "endpoint"],
                condition=Q(endpoint__isnull=False, generation__isnull=False),
                name="notifications_told_once",
            ),
            models.UniqueConstraint(
                fields=["generation", "version", "type"],
                condition=Q(endpoint=None, generation__isnull=False),
                name="notifications_order_told_once",
            ),
            models.CheckConstraint(
                condition=Q(endpoint=None) & ~Q(url="") | Q(endpoint__isnull=False, url=""),
                name="notifications_webhook_has_one_address",
            ),
            # I15: what is not delivered and not given up will be tried; nothing is forgotten in between.
            models.CheckConstraint(
                condition=Q(state="pending", next_attempt_at__isnull=False)
                | ~Q(state="pending") & Q(next_attempt_at=None),
                name="notifications_pending_webhook_is_due",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], name="notifications_webhooks_due", condition=~Q(next_attempt_at=None)
            ),
            models.Index(fields=["account", "-id"], name="notifications_webhooks_of"),
            models.Index(fields=["happened_at"], name="notifications_webhooks_old"),
        ]

    def __str__(self) -> str:
        return f"{self.type} to {self.address}"[:100]

    @property
    def address(self) -> str:
        return self.endpoint.url if self.endpoint else self.url

    @property
    def webhook_id(self) -> str:
        return f"msg_{self.message.hex}"


class WebhookAttempt(models.Model):
    """One POST, and what came of it."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    """None when nothing came back."""
    duration_ms = models.PositiveIntegerField()
    answer = models.CharField(max_length=1000, blank=True)
    """The first bytes of it, as text."""
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.status or self.error}"


class NoticeQuerySet(models.QuerySet["Notice"]):
    def to_send(self) -> NoticeQuerySet:
        return self.filter(state=Notice.State.PENDING, next_attempt_at__lte=Now())


class Notice(Leased):
    """A mail to a customer about one order, one batch, or an endpoint that was switched off. Sent at most once."""

    class State(models.TextChoices):
        PENDING = "pending", "to be sent"
        SENT = "sent", "handed to the mail server, or the worker died over it"
        GIVEN_UP = "given_up", "not sent, or nobody knows"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="notices")
    generation = models.OneToOneField(Generation, null=True, on_delete=models.PROTECT, related_name="notice")
    batch = models.OneToOneField(Batch, null=True, on_delete=models.PROTECT, related_name="notice")
    endpoint = models.ForeignKey(WebhookEndpoint, null=True, on_delete=models.PROTECT, related_name="notices")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    detail = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(generation__isnull=False, batch=None, endpoint=None)
                | Q(generation=None, batch__isnull=False, endpoint=None)
                | Q(generation=None, batch=None, endpoint__isnull=False),
                name="notifications_notice_is_about_one_thing",
            )
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="notifications_notices_due", condition=Q(state="pending"))
        ]

    def __str__(self) -> str:
        return f"mail about {self.subject}"

    @property
    def subject(self) -> Any:
        return self.generation or self.batch or self.endpoint
