"""The tables of the generations app."""

from generations.models.batch import Batch, BatchQuerySet
from generations.models.erasure import Erasure, Retention
from generations.models.generation import (
    INCIDENTS,
    WEBHOOK_URL_CHARACTERS_MAX,
    Event,
    Generation,
    GenerationQuerySet,
    reference_of,
)
from generations.models.input_file import InputFile, InputFileQuerySet
from generations.models.metadata_entry import MetadataEntry
from generations.models.output import Output, OutputQuerySet
from generations.models.price_book import PERCENT_MAX, PriceBookEntry, PriceBookQuerySet
from generations.models.provider import CircuitBreaker, FalAccount, Heartbeat, RejectedCallbacks
from generations.models.spending import SPENDING, DailySpending, KeySpending
from generations.models.states import CancelledBy, FailureCode, Phase, Rule, Status
from generations.models.storage_mark import StorageMark, StorageReport
from generations.models.submission import ProviderCallback, Submission
from generations.models.switches import LastServed, OrderIntake
from generations.models.upload import Upload, UploadQuerySet
from generations.models.write_attempt import WriteAttempt, WriteAttemptQuerySet

__all__ = [
    "INCIDENTS",
    "PERCENT_MAX",
    "SPENDING",
    "WEBHOOK_URL_CHARACTERS_MAX",
    "Batch",
    "BatchQuerySet",
    "CancelledBy",
    "CircuitBreaker",
    "DailySpending",
    "Erasure",
    "Event",
    "FailureCode",
    "FalAccount",
    "Generation",
    "GenerationQuerySet",
    "Heartbeat",
    "InputFile",
    "InputFileQuerySet",
    "KeySpending",
    "LastServed",
    "MetadataEntry",
    "OrderIntake",
    "Output",
    "OutputQuerySet",
    "Phase",
    "PriceBookEntry",
    "PriceBookQuerySet",
    "ProviderCallback",
    "RejectedCallbacks",
    "Retention",
    "Rule",
    "Status",
    "StorageMark",
    "StorageReport",
    "Submission",
    "Upload",
    "UploadQuerySet",
    "WriteAttempt",
    "WriteAttemptQuerySet",
    "reference_of",
]
