"""The tables of a generation's life."""

from accounts.models import ApiKey, ApiKeyQuerySet, Scope
from generations.models.batch import Batch, BatchQuerySet
from generations.models.erasure import Erasure, Retention
from generations.models.generation import Event, Generation, GenerationQuerySet, reference_of
from generations.jobs.leased_model import Leased
from generations.models.switches import Bucket, Intake, Turn, UserLimits
from generations.models.provider import Breaker, FalAccount, Heartbeat, RefusedCallbacks
from notifications.models import WEBHOOK_URL_CHARACTERS_MAX, Notice, Signing, Subscriber, WebhookAttempt, WebhookDelivery, WebhookDeliveryQuerySet, WebhookEndpoint, WebhookEndpointQuerySet, WebhookType
from generations.models.output import Output, OutputQuerySet
from generations.models.price_book import PERCENT_MAX, Charge, PriceBookEntry, PriceBookQuerySet
from generations.models.states import CancelledBy, FailureCode, Phase, Rule, Status
from generations.models.submission import Delivery, Submission
from generations.models.upload import GenerationSource, GenerationSourceQuerySet, Upload, UploadQuerySet

__all__ = [
    "PERCENT_MAX",
    "WEBHOOK_URL_CHARACTERS_MAX",
    "ApiKey",
    "ApiKeyQuerySet",
    "Batch",
    "BatchQuerySet",
    "Breaker",
    "Bucket",
    "CancelledBy",
    "Charge",
    "Delivery",
    "Erasure",
    "Event",
    "FailureCode",
    "FalAccount",
    "Generation",
    "GenerationQuerySet",
    "GenerationSource",
    "GenerationSourceQuerySet",
    "Heartbeat",
    "Intake",
    "Leased",
    "Notice",
    "Output",
    "OutputQuerySet",
    "Phase",
    "PriceBookEntry",
    "PriceBookQuerySet",
    "RefusedCallbacks",
    "Retention",
    "Rule",
    "Scope",
    "Signing",
    "Status",
    "Submission",
    "Subscriber",
    "Turn",
    "Upload",
    "UploadQuerySet",
    "UserLimits",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookDeliveryQuerySet",
    "WebhookEndpoint",
    "WebhookEndpointQuerySet",
    "WebhookType",
    "reference_of",
]
