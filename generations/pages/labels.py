"""What happened, in words for its owner. Staff's notes and the provider's own text stay out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from credits.models import Entry
from generations.catalogue import MODELS
from generations.lifecycle import charging_rules
from generations.models import Event, FailureCode, Generation, Phase, Rule, Status

HEADLINES = {
    Phase.QUEUED: "Waiting to be handed over",
    Phase.SUBMITTING: "Being handed over",
    Phase.UNKNOWN: "Checking whether the provider has it",
    Phase.WAITING: "Waiting in line",
    Phase.RUNNING: "Being made",
    Phase.STORING: "Being stored",
}
FAULTS = {
    FailureCode.INVALID_INPUT: "The inputs: something in them does not suit this model.",
    FailureCode.CONTENT_POLICY: "The content rules of the provider; what was asked for falls under them.",
    FailureCode.CANCELLED: "Nobody’s: it was cancelled.",
    FailureCode.PROVIDER_UNFUNDED: "Ours. We have been told.",
    FailureCode.COPY_FAILED: "Ours, not yours.",
    FailureCode.RESULT_EXPIRED: "Ours, not yours.",
}
NOT_YOURS = "The provider’s, not yours."
HAPPENED: dict[str, str | Callable[[Event], str]] = {
    "ordered": lambda event: f"Ordered; {credits_in_words(event.held_change)} set aside",
    "submitting": "Handed to the provider",
    "submitted": "The provider has taken it",
    "submission_lost": "The provider’s receipt was lost; we ask whether it has the order",
    "not_taken": "The provider could not take it just now; we try again",
    "progressed": lambda event: "Begun" if event.phase == Phase.RUNNING else "Back in the provider’s line",
    "answered": "Made; its files are being copied into storage",
    "stuck": "Something is wrong on our side; we have been told, and look into it",
    "cancel_asked": "Asked to stop",
    "erased": "Erased: what was asked for, and every file",
    "completed": lambda event: f"Complete; {credits_in_words(-event.balance_change)} charged",
    "failed": lambda event: f"Ended without a result; {credits_in_words(-event.held_change)} returned",
}
POSTED = {
    Entry.Kind.GRANT: "Credits granted",
    Entry.Kind.HOLD: "Set aside",
    Entry.Kind.CAPTURE: "Charged",
    Entry.Kind.RELEASE: "Returned",
    Entry.Kind.REFUND: "Refunded",
    Entry.Kind.ADJUST: "Corrected by hand",
}


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The four questions that a failure leaves."""

    what_happened: str
    whose_fault: str
    may_i_retry: str
    was_i_charged: str


def credits_in_words(amount: int) -> str:
    return f"{amount:,} credit{'' if abs(amount) == 1 else 's'}"


def title_of(generation: Generation) -> str:
    """A model that is no longer on offer keeps its slug for a name."""
    model = MODELS.get(generation.model)
    return model.title if model else generation.model


def prompt_of(generation: Generation) -> str:
    """What was asked for, in one line of any model."""
    if generation.erased_at:
        return "Erased"
    asked = generation.input
    shots = [shot["prompt"] for shot in asked.get("multi_prompt") or ()]
    if said := asked.get("prompt") or asked.get("text") or " · ".join(shots):
        return str(said)
    image_url = asked.get("image_url")
    if isinstance(image_url, str) and image_url:
        return f"From {PurePosixPath(urlsplit(image_url).path).name or urlsplit(image_url).hostname}"
    return title_of(generation)


def headline(generation: Generation) -> str:
    if generation.is_done:
        return "Complete" if generation.status == Status.COMPLETED else "Not made"
    if generation.cancel_asked_at and generation.phase != Phase.STORING:
        return "Being cancelled"
    return HEADLINES[Phase(generation.phase)]


def progress(generation: Generation) -> str:
    """How far it is, as far as anybody has said."""
    if generation.phase == Phase.WAITING and generation.queue_position is not None:
        ahead = generation.queue_position
        return "Next in line" if ahead == 0 else f"{ahead:,} before it in line"
    return generation.message


def cost(generation: Generation) -> str:
    held = f"{generation.credits:,} held"
    if not generation.is_done:
        return f"{credits_in_words(generation.credits)} held; charged only when it is complete"
    if generation.captured == 0:
        return f"{held} → nothing charged, all returned" if generation.credits else "Free of charge"
    returned = f", {generation.released:,} returned" if generation.released else ""
    return f"{held} → {generation.captured:,} charged{returned}"


def why(generation: Generation) -> str:
    """The rule that settled it, in a sentence; nothing where there is nothing to explain."""
    if generation.rule in {"", Rule.DELIVERED}:
        return ""
    return charging_rules.TABLE[Rule(generation.rule)].because


def charge(generation: Generation) -> str:
    """The cost in a word or two."""
    if not generation.is_done:
        return f"{generation.credits:,} held"
    return credits_in_words(generation.captured) if generation.captured else "not charged"


def happened(event: Event) -> str:
    words = HAPPENED.get(event.fact, event.fact.replace("_", " ").capitalize())
    return words(event) if callable(words) else words


def answers(generation: Generation) -> Answers:
    again = "Yes, as it is." if generation.retryable else "Not as it is: change the inputs first."
    return Answers(
        what_happened=generation.failure_message,
        whose_fault=FAULTS.get(FailureCode(generation.failure_code), NOT_YOURS),
        may_i_retry=again,
        was_i_charged=f"No. {credits_in_words(generation.released)} went back to you.",
    )


def posted(entry: Entry) -> str:
    return POSTED[Entry.Kind(entry.kind)]


def signed(change: int) -> str:
    """“+25”, “−25”, and nothing for no change."""
    return f"{change:+,}".replace("-", "−") if change else ""
