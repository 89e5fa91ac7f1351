"""The life of a generation. Nothing else writes Generation.status, and every move of its money happens here.

Callers report facts: `submitted`, `answered`, `stored`, `failed` … Each is one transaction that answers whether it
moved anything. Hearing a fact twice is ordinary and answers False; settling twice is impossible.
"""

from generations.lifecycle.answering import answered, answered_error, progressed
from generations.lifecycle.cancelling import cancel_asked, cancel_sent, cancelled
from generations.lifecycle.ending import failed, given_up
from generations.lifecycle.erasing import NotEnded, StillNeeded, erase, erased
from generations.lifecycle.failures import Failure, failure, failure_for
from generations.lifecycle.ordering import (
    BatchOrder,
    KeyReused,
    Order,
    OrderedJustNow,
    ProviderUnfunded,
    batch_before,
    delivered_before,
    order,
    order_batch,
    ordered_before,
)
from generations.lifecycle.storing import StoredFile, lost, moved, not_copied, stored
from generations.lifecycle.submitting import (
    SUBMITTING_SECONDS_MAX,
    not_on_record,
    not_taken,
    rejected,
    submission_lost,
    submitted,
    submitting,
    withdrawn,
)

__all__ = [
    "SUBMITTING_SECONDS_MAX",
    "BatchOrder",
    "Failure",
    "KeyReused",
    "NotEnded",
    "Order",
    "OrderedJustNow",
    "ProviderUnfunded",
    "StillNeeded",
    "StoredFile",
    "answered",
    "answered_error",
    "batch_before",
    "cancel_asked",
    "cancel_sent",
    "cancelled",
    "delivered_before",
    "erase",
    "erased",
    "failed",
    "failure",
    "failure_for",
    "given_up",
    "lost",
    "moved",
    "not_copied",
    "not_on_record",
    "not_taken",
    "order",
    "order_batch",
    "ordered_before",
    "progressed",
    "rejected",
    "stored",
    "submission_lost",
    "submitted",
    "submitting",
    "withdrawn",
]
