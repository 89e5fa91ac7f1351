"""The life of a generation. Nothing else writes Generation.status, and every move of its money happens here.

Callers report facts: `submitted`, `answered`, `stored`, `failed` … Each is one transaction that answers whether it
moved anything. Hearing a fact twice is ordinary and answers False; settling twice is impossible.
"""

from generations.lifecycle.answering import answered, answered_error, progressed
from generations.lifecycle.cancelling import cancel_asked, cancel_sent, cancelled
from generations.lifecycle.ending import failed, give_up
from generations.lifecycle.erasing import NotEnded, StillNeeded, erase, erased
from generations.lifecycle.failures import Failure, failure, failure_for
from generations.ordering.orders import BatchOrder, IdempotencyKeyReused, Order, DuplicateOrder, ProviderUnfunded, find_batch, find_reusable, find_generation
from generations.lifecycle.placing import order, order_batch
from generations.lifecycle.storing import StoredFile, output_lost, source_url_changed, not_copied, stored
from generations.lifecycle.submitting import SUBMITTING_SECONDS_MAX, not_on_record, submission_refused, rejected, submission_lost, submitted, submitting, surplus_cancelled

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
