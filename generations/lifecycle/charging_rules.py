"""Who pays, and why: one row for each way in which an order may end.

Nobody who got nothing pays for it. What the provider bills us all the same is the operator's cost, never the
customer's. A row is stored with the generation when it is settled, and shown to its owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from generations.models import FailureCode, Generation, Phase, Rule

Share = Literal["all", "what was delivered", "nothing"]
ProviderCost = Literal["covered by the price", "none", "the operator's"]


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One row of the rule table."""

    customer_pays: Share
    providers_bill: ProviderCost
    """Who bears what the provider bills for it."""
    because: str
    """For the customer."""


TABLE: Mapping[Rule, Clause] = MappingProxyType(
    {
        Rule.DELIVERED: Clause(
            customer_pays="all",
            providers_bill="covered by the price",
            because="Every file was delivered.",
        ),
        Rule.PARTLY_DELIVERED: Clause(
            customer_pays="what was delivered",
            providers_bill="the operator's",
            because="Only some of the files were delivered; the price was shared out among them, rounded down.",
        ),
        Rule.FLAGGED: Clause(
            customer_pays="what was delivered",
            providers_bill="the operator's",
            because="The provider’s safety checker blackened a picture; a black picture costs nothing.",
        ),
        Rule.REFUSED_INPUT: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="The model refused the inputs.",
        ),
        Rule.CONTENT_POLICY: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="The provider’s content rules refused it.",
        ),
        Rule.PROVIDER_FAILED: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="The provider failed to make it.",
        ),
        Rule.CANCELLED_QUEUED: Clause(
            customer_pays="nothing",
            providers_bill="none",
            because="It was cancelled before it ran.",
        ),
        Rule.CANCELLED_RUNNING: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="It was cancelled, and the provider stopped. Had it been made by then, it would have been charged.",
        ),
        Rule.OUR_DEADLINE: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="It took too long, and we gave it up.",
        ),
        Rule.NOT_STORED: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="It was made, and could not be brought into storage.",
        ),
        Rule.NEVER_CLEAR: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="It never became clear whether the provider took it.",
        ),
    }
)
_OF_FAILURES = {
    FailureCode.INVALID_INPUT: Rule.REFUSED_INPUT,
    FailureCode.CONTENT_POLICY: Rule.CONTENT_POLICY,
    FailureCode.PROVIDER_ERROR: Rule.PROVIDER_FAILED,
    FailureCode.PROVIDER_TIMEOUT: Rule.PROVIDER_FAILED,
    FailureCode.PROVIDER_UNFUNDED: Rule.PROVIDER_FAILED,
    FailureCode.RESULT_EXPIRED: Rule.NOT_STORED,
    FailureCode.COPY_FAILED: Rule.NOT_STORED,
    FailureCode.SUBMISSION_UNKNOWN: Rule.NEVER_CLEAR,
    FailureCode.DEADLINE: Rule.OUR_DEADLINE,
}


def for_failure(generation: Generation, code: FailureCode) -> Rule:
    """The row for an order that failed so, from where it stands now."""
    if code == FailureCode.CANCELLED:
        return Rule.CANCELLED_RUNNING if generation.phase == Phase.RUNNING else Rule.CANCELLED_QUEUED
    return _OF_FAILURES[code]


def for_delivery(*, promised: int, delivered: int, flagged: int) -> Rule:
    """The row for an order whose files are in storage, by how many were promised, came, and came black."""
    if flagged:
        return Rule.FLAGGED
    return Rule.DELIVERED if delivered == promised else Rule.PARTLY_DELIVERED


def price_of(credits: int, *, promised: int, delivered: int, flagged: int) -> int:
    """What is charged of `credits`: n of m files cost n/m, rounded down, in the customer's favour."""
    return credits * (delivered - flagged) // promised
