"""The texts with which the pages describe generations, events, charges and failures to their owner.

Everything that a page says about a row comes from here, and only from fields that are meant for the customer: notes
for staff and fal's own words never appear. The functions are called by the presenters and by the statement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from credits.models import Entry
from generations.catalogue import MODELS
from generations.lifecycle import charging_rules
from generations.models import Event, FailureCode, Generation, Phase, Rule, Status

# The kinds and statuses of the API, as the filters of the library show them.
KINDS = {"image": "Images", "video": "Videos", "3d": "3D models", "audio": "Audio"}
STATUSES = {
    Status.PENDING: "Pending",
    Status.PROCESSING: "Generating",
    Status.COMPLETED: "Completed",
    Status.FAILED: "Failed",
}
# While a generation is in progress its phase says more than its status.
PHASES = {
    Phase.QUEUED: "Queued",
    Phase.SUBMITTING: "Submitting",
    Phase.UNKNOWN: "Checking the submission",
    Phase.WAITING: "Waiting at the provider",
    Phase.RUNNING: "Generating",
    Phase.STORING: "Storing files",
}
# The provider is responsible for every other failure.
RESPONSIBLE = {
    FailureCode.INVALID_INPUT: "The inputs. At least one of them does not suit this model.",
    FailureCode.CONTENT_POLICY: "The request. It falls under the provider’s content policy.",
    FailureCode.CANCELLED: "It was cancelled.",
    FailureCode.PROVIDER_UNFUNDED: "This service, not you. The operator has been notified.",
    FailureCode.COPY_FAILED: "This service, not you.",
    FailureCode.RESULT_EXPIRED: "This service, not you.",
    FailureCode.INTERNAL_ERROR: "This service, not you. The operator has been notified.",
}
PROVIDER_RESPONSIBLE = "The provider, not you."
# By the name of the fact. Some texts depend on the credits or the phase of the event.
EVENTS: dict[str, str | Callable[[Event], str]] = {
    "ordered": lambda event: f"Ordered; {credits_text(event.held_change)} reserved",
    "submitting": "Submitting to the provider",
    "submitted": "Accepted by the provider",
    "submission_lost": "The provider’s answer was lost; checking whether it accepted the order",
    "not_on_record": "The provider has not received it; submitting again",
    "not_sent": "Not submitted; trying again",
    "not_taken": "The provider cannot accept it at the moment; trying again",
    "disputed": "The provider’s answer names another order; waiting for its result",
    "ambiguous": "The provider’s records do not show whether it has this order; waiting for its result",
    "contradicted": "The provider later reported something else; its first report counts",
    "surplus": "The provider started it twice; you are charged once at most",
    "progressed": lambda event: "Generating" if event.phase == Phase.RUNNING else "Back in the provider’s queue",
    "answered": "Generated; copying the files into storage",
    "stuck": "Delayed by a problem of this service; the operator has been notified",
    "cancel_asked": "Cancellation requested",
    "erased": "Erased: the inputs and every file",
    "completed": lambda event: f"Completed; {credits_text(-event.balance_change)} charged",
    "failed": lambda event: f"Ended without a result; {credits_text(-event.held_change)} released",
}
ENTRIES = {
    Entry.Kind.GRANT: "Granted",
    Entry.Kind.HOLD: "Reserved",
    Entry.Kind.CAPTURE: "Charged",
    Entry.Kind.RELEASE: "Released",
    Entry.Kind.REFUND: "Refunded",
    Entry.Kind.ADJUST: "Adjusted",
}
# The first column of the public table of charging rules.
RULES = {
    Rule.DELIVERED: "All files delivered",
    Rule.PARTLY_DELIVERED: "Some files delivered",
    Rule.FLAGGED: "Blackened by the safety checker",
    Rule.REFUSED_INPUT: "Inputs refused",
    Rule.CONTENT_POLICY: "Content policy",
    Rule.PROVIDER_FAILED: "Provider failed",
    Rule.CANCELLED_QUEUED: "Cancelled before it ran",
    Rule.CANCELLED_RUNNING: "Cancelled while it ran",
    Rule.OUR_DEADLINE: "Deadline passed",
    Rule.NOT_STORED: "Files not stored",
    Rule.NEVER_CLEAR: "Submission not confirmed",
    Rule.OUR_ERROR: "Error of this service",
}


@dataclass(frozen=True, kw_only=True)
class FailureExplanation:
    """The answers to the four questions that a customer has about a failed generation."""

    what_happened: str
    responsible: str
    can_retry: str
    was_charged: str


def credits_text(amount: int) -> str:
    """Return an amount as text: “1 credit”, “1,200 credits”."""
    return f"{amount:,} credit{'' if abs(amount) == 1 else 's'}"


def signed(change: int) -> str:
    """Return a change with its sign: “+25”, “−25”, or an empty string for 0."""
    return f"{change:+,}".replace("-", "−") if change else ""


def model_title(generation: Generation) -> str:
    """Return the title of the model, or its slug if it is no longer in the catalogue."""
    model = MODELS.get(generation.model)
    return model.title if model else generation.model


def prompt_text(generation: Generation) -> str:
    """Return the text that identifies a generation in a list: its prompt, or what comes closest to one."""
    if generation.erased_at:
        return "Erased"
    inputs = generation.input
    # A video of several shots has a prompt for each shot instead of one for the whole.
    shots = [shot["prompt"] for shot in inputs.get("multi_prompt") or ()]
    if text := inputs.get("prompt") or inputs.get("text") or " · ".join(shots):
        return str(text)
    # Models that work from an image alone have no text at all.
    image_url = inputs.get("image_url")
    if isinstance(image_url, str) and image_url:
        return f"From {PurePosixPath(urlsplit(image_url).path).name or urlsplit(image_url).hostname}"
    return model_title(generation)


def status_text(generation: Generation) -> str:
    """Return the status in one to three words. Finer than `Generation.status`, because it tells the phases apart."""
    if generation.is_done:
        return STATUSES[Status(generation.status)]
    # The provider has delivered by then, so a cancellation no longer has an effect.
    if generation.cancel_asked_at and generation.phase != Phase.STORING:
        return "Cancelling"
    return PHASES[Phase(generation.phase)]


def progress_text(generation: Generation) -> str:
    """Return the position in the provider's queue, or the last progress message. Empty if neither is known."""
    if generation.phase == Phase.WAITING and generation.queue_position is not None:
        ahead = generation.queue_position
        return "Next in the queue" if ahead == 0 else f"{ahead:,} ahead of it in the queue"
    return generation.message


def price_text(generation: Generation) -> str:
    """Return what was reserved, and what has become of it."""
    if not generation.is_done:
        return f"{credits_text(generation.credits)} reserved; charged only when it is completed"
    if generation.credits == 0:
        return "Free of charge"
    reserved = f"{generation.credits:,} reserved"
    if generation.captured == 0:
        return f"{reserved} → nothing charged, all released"
    # A partial delivery was charged in part, and the rest of the hold was released.
    released = f", {generation.released:,} released" if generation.released else ""
    return f"{reserved} → {generation.captured:,} charged{released}"


def charge_text(generation: Generation) -> str:
    """Return the price text in two or three words, for lists."""
    if not generation.is_done:
        return f"{generation.credits:,} reserved"
    return credits_text(generation.captured) if generation.captured else "not charged"


def charge_reason(generation: Generation) -> str:
    """Return the sentence of the charging rule that applied. Empty while it runs, and for a complete delivery."""
    if generation.rule in {"", Rule.DELIVERED}:
        return ""
    return charging_rules.TABLE[Rule(generation.rule)].because


def explain_failure(generation: Generation) -> FailureExplanation:
    """Explain a generation whose status is FAILED."""
    return FailureExplanation(
        what_happened=generation.failure_message,
        responsible=RESPONSIBLE.get(FailureCode(generation.failure_code), PROVIDER_RESPONSIBLE),
        can_retry="Yes, without changes." if generation.retryable else "Only after you have changed the inputs.",
        was_charged=f"No; {credits_text(generation.released)} released.",
    )


def event_text(event: Event) -> str:
    """Return one line of the timeline. A fact without a text of its own is shown by its name."""
    text = EVENTS.get(event.fact, event.fact.replace("_", " ").capitalize())
    return text(event) if callable(text) else text


def entry_text(entry: Entry) -> str:
    """Return the kind of a ledger entry."""
    return ENTRIES[Entry.Kind(entry.kind)]
