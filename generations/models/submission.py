"""Submissions to fal, and the callbacks that fal sent. A submission is one POST and, if fal accepts it, one job."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from database import clock
from database.ids import new_id, new_token
from generations.models.generation import Generation


class SubmissionQuerySet(models.QuerySet["Submission"]):
    def to_cancel_surplus(self) -> SubmissionQuerySet:
        """Return the surplus jobs that fal has not been asked to cancel yet."""
        return self.filter(state=Submission.State.SURPLUS, surplus_cancelled_at=None)


class Submission(models.Model):
    """One attempt to submit a generation to fal, committed before its POST: one row is one paid job at most."""

    class State(models.TextChoices):
        PLANNED = "planned", "not sent yet"
        SENT = "sent", "sent, no answer yet"
        UNKNOWN = "unknown", "sent, and the answer was lost"
        ACCEPTED = "accepted", "accepted by fal"
        REFUSED = "refused", "refused by fal"
        MISSING = "missing", "the answer was lost, and fal has no record of it"
        SURPLUS = "surplus", "a second job for one generation, which the operator pays"
        DISPUTED = "disputed", "fal named a request that another order has"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    generation = models.ForeignKey(Generation, on_delete=models.PROTECT, related_name="submissions", db_index=False)
    number = models.PositiveIntegerField(default=1)
    seed = models.BigIntegerField(null=True, editable=False)
    """Drawn by Limn for this submission and sent to fal, so that its job can be recognised in fal's record. None if the
    customer chose the seed, or the model has none."""
    token = models.CharField(max_length=64, default=new_token, editable=False)
    state = models.CharField(max_length=10, choices=State, default=State.PLANNED)
    request_id = models.CharField(max_length=100, null=True, unique=True)  # noqa: DJ001  (NULLs are distinct, "" is not)
    status_url = models.CharField(max_length=500, blank=True)
    response_url = models.CharField(max_length=500, blank=True)
    cancel_url = models.CharField(max_length=500, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    """For staff: what went wrong, in fal's words."""
    created_at = models.DateTimeField(default=clock.now, editable=False)
    sent_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    surplus_cancelled_at = models.DateTimeField(null=True)
    """When fal was asked to cancel a surplus job."""
    billable_units = models.DecimalField(max_digits=20, decimal_places=9, null=True)
    """The units that fal bills, from a header of the result. fal's price list has the price of a unit."""
    billed_dollars = models.DecimalField(max_digits=20, decimal_places=9, null=True)
    """What fal's bill says, in US dollars; None while the bill does not list it."""
    units_due_at = models.DateTimeField(null=True, default=clock.now)
    """When to ask for the units, once there is a result. None: they are known, or cannot be known."""

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["generation", "number"], name="generations_submissions_numbered")
        ]
        indexes = [
            # Only accepted submissions have this URL. With IN in its condition, SQLite would not use the index.
            models.Index(
                fields=["units_due_at"],
                name="generations_units_to_ask",
                condition=Q(units_due_at__isnull=False) & ~Q(response_url=""),
            ),
            models.Index(
                fields=["id"], name="generations_surplus", condition=Q(state="surplus", surplus_cancelled_at=None)
            ),
            models.Index(
                fields=["generation"], name="generations_unanswered", condition=Q(state__in=["sent", "unknown"])
            ),
        ]

    def __str__(self) -> str:
        return f"submission {self.number} of {self.generation_id}"


class ProviderCallback(models.Model):
    """A genuine callback of fal, stored as it came."""

    class Outcome(models.TextChoices):
        RECEIVED = "received", "stored, not processed yet"
        APPLIED = "applied", "changed the generation"
        IGNORED = "ignored", "said nothing new, or came after the end"
        ORPHAN = "orphan", "belongs to no submission"
        UNCLEAR = "unclear", "without a verdict; fal is asked instead"
        CONFLICT = "conflict", "contradicts the verdict that counts"

    submission = models.ForeignKey(
        Submission, null=True, on_delete=models.PROTECT, related_name="callbacks", db_index=False
    )
    request_id = models.CharField(max_length=100)
    body = models.BinaryField()
    body_sha256 = models.CharField(max_length=64)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.RECEIVED)
    repeats = models.PositiveIntegerField(default=0)
    received_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name_plural = "provider callbacks"
        constraints = [
            # With the submission: the same bytes sent to the URL of another submission are another callback.
            models.UniqueConstraint(
                fields=["submission", "body_sha256"],
                condition=Q(submission__isnull=False),
                name="generations_callback_once",
            ),
            models.UniqueConstraint(
                fields=["request_id", "body_sha256"],
                condition=Q(submission=None),
                name="generations_orphan_callback_once",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], name="generations_callbacks_received", condition=Q(outcome="received")),
            models.Index(fields=["received_at"], name="generations_orphan_callbacks", condition=Q(outcome="orphan")),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} callback for {self.request_id}"
