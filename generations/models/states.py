"""The words for where a generation stands, and why it failed."""

from django.db import models


class Status(models.TextChoices):
    """What consumers poll."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class Phase(models.TextChoices):
    """Where exactly it is."""

    QUEUED = "queued"
    SUBMITTING = "submitting"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    RUNNING = "running"
    STORING = "storing"
    DONE = "done"


class FailureCode(models.TextChoices):
    INVALID_INPUT = "invalid_input"
    CONTENT_POLICY = "content_policy"
    PROVIDER_ERROR = "provider_error"
    PROVIDER_TIMEOUT = "provider_timeout"
    PROVIDER_UNFUNDED = "provider_unfunded"
    RESULT_EXPIRED = "result_expired"
    COPY_FAILED = "copy_failed"
    SUBMISSION_UNKNOWN = "submission_unknown"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


class CancelledBy(models.TextChoices):
    CUSTOMER = "customer"
    STAFF = "staff"
    DEADLINE = "deadline"


class Rule(models.TextChoices):
    """Why an order cost what it cost. What each means for the money: `lifecycle.rules`."""

    DELIVERED = "delivered"
    PARTLY_DELIVERED = "partly_delivered"
    FLAGGED = "flagged"
    REFUSED_INPUT = "refused_input"
    CONTENT_POLICY = "content_policy"
    PROVIDER_FAILED = "provider_failed"
    CANCELLED_QUEUED = "cancelled_queued"
    CANCELLED_RUNNING = "cancelled_running"
    OUR_DEADLINE = "our_deadline"
    NOT_STORED = "not_stored"
    NEVER_CLEAR = "never_clear"
