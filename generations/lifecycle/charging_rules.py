"""Who pays, and why: one rule for each way in which a generation can end.

A customer who gets nothing pays nothing. What the provider bills all the same is the operator's cost. The rule is
stored with the generation when it ends, and shown to its owner (docs/charges.md, the page "Charging rules").
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
    """One rule of the table."""

    customer_pays: Share
    providers_bill: ProviderCost
    """Who bears what the provider bills."""
    because: str
    """The reason, as a sentence for the customer."""


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
            because="Only some of the files were delivered; the price was reduced in proportion, rounded down.",
        ),
        Rule.FLAGGED: Clause(
            customer_pays="what was delivered",
            providers_bill="the operator's",
            because="The provider’s safety checker blackened an image; a black image costs nothing.",
        ),
        Rule.REFUSED_INPUT: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="The model refused the inputs.",
        ),
        Rule.CONTENT_POLICY: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="The provider’s content policy refused it.",
        ),
        Rule.PROVIDER_FAILED: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="The provider failed to generate it.",
        ),
        Rule.CANCELLED_QUEUED: Clause(
            customer_pays="nothing",
            providers_bill="none",
            because="It was cancelled before it ran.",
        ),
        Rule.CANCELLED_RUNNING: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="It was cancelled while running, and the provider stopped. A finished result would be charged.",
        ),
        Rule.OUR_DEADLINE: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="It was not finished in time.",
        ),
        Rule.NOT_STORED: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="It was generated, but could not be stored.",
        ),
        Rule.NEVER_CLEAR: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="It could not be determined whether the provider accepted it.",
        ),
        Rule.OUR_ERROR: Clause(
            customer_pays="nothing",
            providers_bill="the operator's",
            because="An error of this service prevented it.",
        ),
    }
)
_RULE_OF_FAILURE = {
    FailureCode.INVALID_INPUT: Rule.REFUSED_INPUT,
    FailureCode.CONTENT_POLICY: Rule.CONTENT_POLICY,
    FailureCode.PROVIDER_ERROR: Rule.PROVIDER_FAILED,
    FailureCode.PROVIDER_TIMEOUT: Rule.PROVIDER_FAILED,
    FailureCode.PROVIDER_UNFUNDED: Rule.PROVIDER_FAILED,
    FailureCode.RESULT_EXPIRED: Rule.NOT_STORED,
    FailureCode.COPY_FAILED: Rule.NOT_STORED,
    FailureCode.SUBMISSION_UNKNOWN: Rule.NEVER_CLEAR,
    FailureCode.DEADLINE: Rule.OUR_DEADLINE,
    FailureCode.INTERNAL_ERROR: Rule.OUR_ERROR,
}


def for_failure(generation: Generation, code: FailureCode) -> Rule:
    """Return the rule for a generation that fails with this code, from the phase it is in now."""
    if code == FailureCode.CANCELLED:
        return Rule.CANCELLED_RUNNING if generation.phase == Phase.RUNNING else Rule.CANCELLED_QUEUED
    return _RULE_OF_FAILURE[code]


def for_delivery(*, promised: int, delivered: int, flagged: int) -> Rule:
    """Return the rule for a completed generation. Counts of paid files: ordered, stored, and stored but black."""
    if flagged:
        return Rule.FLAGGED
    return Rule.DELIVERED if delivered == promised else Rule.PARTLY_DELIVERED


def price_of(credits: int, *, promised: int, delivered: int, flagged: int) -> int:
    """Return the part of `credits` that is charged: n of m files cost n/m, rounded down in the customer's favour."""
    return credits * (delivered - flagged) // promised
