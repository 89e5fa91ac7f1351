"""A generation and its timeline. Only `generations.lifecycle` writes `status` and `phase`."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from database import clock
from database.foreign_keys import filter_by
from database.ids import first_id, new_id
from generations.jobs.leased_model import Leased
from generations.models.batch import Batch
from generations.models.inquiry import Inquiry
from generations.models.states import CancelledBy, FailureCode, Phase, Rule, Status

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

WEBHOOK_URL_CHARACTERS_MAX = 2000
# What staff must know of: each raises an alert.
INCIDENTS = ("ambiguous", "contradicted", "disputed", "stuck", "surplus")
# An id is made a moment before its row, perhaps by another clock.
ID_TOLERANCE = timedelta(hours=1)


class GenerationQuerySet(models.QuerySet["Generation"]):
    def visible_to(self, user: User | AnonymousUser) -> GenerationQuerySet:
        """Return the generations of this user. Everything that shows generations to a user starts here."""
        if not user.is_authenticated:
            return self.none()
        return filter_by(self, "account", user=user)

    def created_after(self, moment: datetime) -> GenerationQuerySet:
        """Return the generations created after `moment`. Their ids begin with the time, so an index finds them."""
        return self.filter(created_at__gt=moment, pk__gte=first_id(moment - ID_TOLERANCE))

    def in_progress(self) -> GenerationQuerySet:
        """Return the generations that have not ended.

        Call it before any other condition on the phase: SQLite uses the partial index only for these very words.
        """
        return self.exclude(phase=Phase.DONE)

    def to_submit(self) -> GenerationQuerySet:
        """Return the queued generations that are due."""
        return self.in_progress().filter(phase=Phase.QUEUED, next_attempt_at__lte=Now())

    def to_reconcile(self) -> GenerationQuerySet:
        """Return the due generations that fal has, or may have."""
        asking = [Phase.SUBMITTING, Phase.UNKNOWN, Phase.WAITING, Phase.RUNNING]
        return self.in_progress().filter(phase__in=asking, next_attempt_at__lte=Now())


class Generation(Leased, Inquiry):
    """An accepted order and its result: what was ordered, how far it is, and what it costs."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("credits.Account", on_delete=models.PROTECT, related_name="generations", db_index=False)
    model = models.CharField(max_length=100)
    endpoint = models.CharField(max_length=200)
    kind = models.CharField(max_length=10)
    input = models.JSONField(default=dict)
    """The inputs as the customer sent them, validated."""
    arguments = models.JSONField(default=dict)
    """What fal is sent: the inputs, the preset and the model's defaults."""
    preset = models.CharField(max_length=50, blank=True)
    metadata = models.JSONField(default=dict)
    webhook_url = models.CharField(max_length=WEBHOOK_URL_CHARACTERS_MAX, blank=True)
    """Notified when this generation ends, beside the account's endpoints."""
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001  (NULLs are distinct, "" is not)
    request_hash = models.CharField(max_length=64, blank=True)
    """SHA-256 of the request: an idempotency key stands for one request only."""
    arguments_hash = models.CharField(max_length=64, blank=True)
    """SHA-256 of the model and of everything that fal is sent: equal for two orders of the same."""
    retry_of = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="retries", db_index=False)
    batch = models.ForeignKey(Batch, null=True, on_delete=models.PROTECT, related_name="generations", db_index=False)
    api_key = models.ForeignKey(
        "accounts.ApiKey", null=True, on_delete=models.PROTECT, related_name="generations", db_index=False
    )
    """The API key that ordered it, if one did. What the key has spent is computed from it."""

    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    phase = models.CharField(max_length=10, choices=Phase, default=Phase.QUEUED)
    version = models.PositiveIntegerField(default=1)
    queue_position = models.PositiveIntegerField(null=True)
    percent = models.PositiveSmallIntegerField(null=True)
    message = models.CharField(max_length=200, blank=True)
    failure_code = models.CharField(max_length=20, choices=FailureCode, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    failure_errors = models.JSONField(default=list)
    """For `invalid_input`: the wrong inputs, as {"loc", "msg", "type"}, which is fal's shape."""
    retryable = models.BooleanField(default=False)
    details = models.JSONField(default=dict)
    """What fal returned beside the files, such as the seed it used or a description."""
    rule = models.CharField(max_length=20, choices=Rule, blank=True)
    """Who paid, and why: a rule of `lifecycle.charging_rules`. Empty until it has ended."""

    files_expected = models.PositiveIntegerField(default=1)
    """How many files the price covers."""
    credits = models.BigIntegerField()
    """The price in credits, fixed when it was ordered."""
    list_price_millidollars = models.BigIntegerField(null=True)
    """What fal should bill for it, in thousandths of a US dollar; None if that is not known."""
    captured = models.BigIntegerField(default=0)
    released = models.BigIntegerField(default=0)

    created_at = models.DateTimeField(default=clock.now, editable=False)
    submitted_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    erased_at = models.DateTimeField(null=True)
    """When the inputs and outputs were erased. What it cost is kept."""
    deadline_at = models.DateTimeField()
    cancel_asked_at = models.DateTimeField(null=True)
    cancel_asked_by = models.CharField(max_length=10, choices=CancelledBy, blank=True)
    cancel_sent_at = models.DateTimeField(null=True)

    if TYPE_CHECKING:
        now: datetime  # By the database's clock, when the row was locked (`lifecycle.transitions.lock`).
        _now_set_at: float

    objects = GenerationQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="generations_key_once_per_account"),
            models.CheckConstraint(
                condition=Q(phase="done", status__in=["completed", "failed"])
                | Q(phase__in=["queued", "submitting", "unknown"], status="pending")
                | Q(phase__in=["waiting", "running", "storing"], status="processing"),
                name="generations_phase_fits_status",
            ),
            models.CheckConstraint(
                condition=~Q(phase="done") | Q(credits=models.F("captured") + models.F("released")),
                name="generations_settled_when_done",
            ),
            models.CheckConstraint(
                condition=~Q(status="failed") | Q(captured=0), name="generations_failed_costs_nothing"
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="generations_of_account"),
            models.Index(fields=["account", "status", "-id"], name="generations_by_status"),
            models.Index(fields=["account", "kind", "-id"], name="generations_by_kind"),
            models.Index(fields=["account", "model", "-id"], name="generations_by_model"),
            # An account's own duplicates, and those of any account that the reconciler must tell apart.
            models.Index(fields=["arguments_hash", "account", "-id"], name="generations_same_arguments"),
            models.Index(fields=["next_attempt_at"], name="generations_due", condition=~Q(phase="done")),
            # Every order asks whether another one waits for fal. `generations_due` has those that fal works on as well.
            models.Index(fields=["next_attempt_at"], name="generations_queued", condition=Q(phase="queued")),
            models.Index(fields=["-finished_at"], name="generations_ended", condition=Q(phase="done")),
            models.Index(
                fields=["account", "finished_at"],
                name="generations_retained",
                condition=Q(phase="done", erased_at=None),
            ),
            # Most generations have none of these, so the indexes leave them out.
            models.Index(fields=["retry_of"], name="generations_retries", condition=Q(retry_of__isnull=False)),
            models.Index(fields=["batch"], name="generations_of_batch", condition=Q(batch__isnull=False)),
            models.Index(fields=["api_key"], name="generations_of_api_key", condition=Q(api_key__isnull=False)),
        ]

    def set_now(self, now: datetime) -> None:
        """Set `now` to the present time of the database."""
        self.now, self._now_set_at = now, monotonic()

    def advance_now(self) -> None:
        """Add the time that has passed since `now` was set, whatever happens to the clock of this machine."""
        self.set_now(self.now + timedelta(seconds=monotonic() - self._now_set_at))

    def __str__(self) -> str:
        return f"{self.model} {self.id}"

    @property
    def reference(self) -> str:
        """The reference of its hold in the ledger."""
        return reference_of(self.id)

    @property
    def is_done(self) -> bool:
        return self.phase == Phase.DONE


def reference_of(generation_id: UUID) -> str:
    """Return the reference under which the ledger knows this generation."""
    return f"generation:{generation_id}"


class Event(models.Model):
    """One event of a generation's timeline: what happened, who reported it, and what it changed of the credits."""

    generation = models.ForeignKey(Generation, on_delete=models.PROTECT, related_name="events")
    account = models.ForeignKey("credits.Account", on_delete=models.PROTECT, related_name="events", db_index=False)
    """The account of the generation, so that one index finds the event feed of an account."""
    number = models.PositiveBigIntegerField(null=True, editable=False)
    """Its position in the account's event feed, assigned when the feed is first read (`notifications.event_feed`)."""
    fact = models.CharField(max_length=30)
    actor = models.CharField(max_length=150)
    status = models.CharField(max_length=10, choices=Status)
    phase = models.CharField(max_length=10, choices=Phase)
    version = models.PositiveIntegerField()
    note = models.CharField(max_length=500, blank=True)
    staff_note = models.CharField(max_length=1000, blank=True)
    held_change = models.BigIntegerField(default=0)
    balance_change = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ("id",)
        constraints = [models.UniqueConstraint(fields=["account", "number"], name="generations_event_number_once")]
        indexes = [
            models.Index(fields=["account", "id"], name="generations_event_unnumbered", condition=Q(number=None)),
            # A few of millions. An alert asks for the latest of each. With IN, SQLite would not use the index.
            models.Index(
                fields=["created_at"],
                name="generations_incident_events",
                condition=reduce(or_, (Q(fact=fact) for fact in INCIDENTS)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.fact} by {self.actor}"
