"""The states of a generation, and the reasons why it failed or cost what it cost."""

from django.db import models


class Status(models.TextChoices):
    """The state that clients poll. Each phase belongs to one status."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class Phase(models.TextChoices):
    """Where exactly a generation is. `lifecycle.transitions` holds the legal moves."""

    QUEUED = "queued"
    SUBMITTING = "submitting"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    RUNNING = "running"
    STORING = "storing"
    DONE = "done"


class FailureCode(models.TextChoices):
    """Why a generation failed, as the API reports it in `error.code`."""

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
    INTERNAL_ERROR = "internal_error"


class CancelledBy(models.TextChoices):
    """Who requested a cancellation."""

    CUSTOMER = "customer"
    STAFF = "staff"
    DEADLINE = "deadline"


class Rule(models.TextChoices):
    """Why a generation cost what it cost. `lifecycle.charging_rules` says who pays under each rule."""

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
    OUR_ERROR = "our_error"
