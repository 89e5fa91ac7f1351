"""The life of a generation. Nothing else writes `Generation.status`, and every move of its money happens here.

Callers report facts: `submitted`, `answered`, `stored`, `failed` and so on. Each function is one transaction, and most
return whether they changed anything. Reporting a fact twice is ordinary and returns False; settling credits twice is
impossible, because the ledger settles a hold once. So the transaction is repeated if the database has ended it because
of another one (`database.transactions`).
"""

from generations.lifecycle.answering import COPY_SECONDS_MAX, answer_locked, answered, answered_error, progressed
from generations.lifecycle.cancelling import CancelAnswer, cancel_asked, cancel_batch, cancel_sent, cancelled
from generations.lifecycle.conflicting import answer_conflicts, failure_conflicts
from generations.lifecycle.ending import failed, give_up, provider_failed, report_stuck
from generations.lifecycle.erasing import GenerationInUse, erase, erased
from generations.lifecycle.failures import Failure, failure, failure_for
from generations.lifecycle.placing import order, order_batch
from generations.lifecycle.storing import StoredFile, holds_lease, not_copied, output_lost, source_url_changed, stored
from generations.lifecycle.submitting import (
    SUBMITTING_SECONDS_MAX,
    ambiguous,
    not_on_record,
    not_sent,
    rejected,
    submission_lost,
    submission_refused,
    submitted,
    submitted_locked,
    submitting,
    surplus_cancelled,
)
from generations.lifecycle.transitions import lock_of

__all__ = [
    "COPY_SECONDS_MAX",
    "SUBMITTING_SECONDS_MAX",
    "CancelAnswer",
    "Failure",
    "GenerationInUse",
    "StoredFile",
    "ambiguous",
    "answer_conflicts",
    "answer_locked",
    "answered",
    "answered_error",
    "cancel_asked",
    "cancel_batch",
    "cancel_sent",
    "cancelled",
    "erase",
    "erased",
    "failed",
    "failure",
    "failure_conflicts",
    "failure_for",
    "give_up",
    "holds_lease",
    "lock_of",
    "not_copied",
    "not_on_record",
    "not_sent",
    "order",
    "order_batch",
    "output_lost",
    "progressed",
    "provider_failed",
    "rejected",
    "report_stuck",
    "source_url_changed",
    "stored",
    "submission_lost",
    "submission_refused",
    "submitted",
    "submitted_locked",
    "submitting",
    "surplus_cancelled",
]
