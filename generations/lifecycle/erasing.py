"""Erasure: what was ordered and generated is deleted, what it cost is kept.

`erase` empties the rows in one transaction; the eraser then deletes the files and fal's copies, and reports `erased`.
"""

from __future__ import annotations

from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

from database import clock
from database.transactions import repeated
from generations.errors import InUse, NotFinished
from generations.lifecycle.transitions import Fact, lock, record_event
from generations.models import Erasure, Generation, InputFile, Output, Phase, ProviderCallback


class GenerationInUse(InUse):
    """Another generation that has not ended works on an output of this one."""

    default_detail = "A generation that has not ended uses an output of this one. Cancel it, or wait for its end."


@repeated
def erase(generation: Generation, *, actor: str) -> Erasure:
    """Erase a generation that has ended. Returns the receipt; the same one if it is asked again.

    Raises NotFinished, GenerationInUse.
    """
    generation = lock(generation.pk)
    if (earlier := Erasure.objects.filter(generation=generation).first()) is not None:
        return earlier
    if generation.phase != Phase.DONE:
        raise NotFinished("Only a generation that has ended can be erased. Cancel it first.")
    # An order locks the files that it uses. So either the order is found here, or the order does not find the files.
    list(generation.outputs.select_for_update(no_key=True).order_by("pk"))
    if InputFile.objects.needed().filter(output__generation=generation).exists():
        raise GenerationInUse
    stored = generation.outputs.stored()
    receipt = Erasure.objects.create(
        generation=generation,
        asked_by=actor[:150],
        files=[
            {"output": str(file.pk), "role": file.role, "size": file.size_bytes, "sha256": file.sha256}
            for file in stored
        ],
        next_attempt_at=Now(),
    )
    _empty_rows(generation)
    record_event(generation, Fact(name="erased", actor=actor))
    return receipt


def _empty_rows(generation: Generation) -> None:
    """Remove everything from the rows that could show what was ordered or generated."""
    Generation.objects.filter(pk=generation.pk).update(
        version=F("version") + 1,
        erased_at=Now(),
        input={},
        arguments={},
        metadata={},
        webhook_url="",
        arguments_hash="",
        failure_errors=[],
        details={},
    )
    generation.refresh_from_db()
    # fal's messages may repeat the prompt, and its callbacks do. Only the status 429 is kept: a metric counts it.
    too_many_requests = When(fact="not_taken", staff_note__startswith="429", then=Value("429"))
    # The event feed numbers the events of the account at the same time. It locks them in this order as well.
    list(generation.events.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    generation.events.update(staff_note=Case(too_many_requests, default=Value("")))
    generation.submissions.update(detail="")
    ProviderCallback.objects.filter(submission__generation=generation).update(body=b"")
    # The keys stay until the eraser has deleted the files.
    generation.outputs.update(state=Output.State.ERASED, source_url="", detail="", next_attempt_at=None)


def reopen_erasure(generation: Generation) -> None:
    """Restart the erasure of a generation that turned out to have one more job at fal.

    Taking the lease away makes a worker that is erasing this moment fail to report `erased`, since it does not know
    of that job.
    """
    receipts = Erasure.objects.filter(generation=generation)
    receipts.update(done_at=None, next_attempt_at=Now(), lease=None, leased_until=None)


@repeated
def erased(receipt: Erasure, *, provider_copy: Erasure.ProviderCopy) -> bool:
    """Record that the files are deleted, and what happened to fal's copies. False if the lease is lost."""
    leased = Erasure.objects.filter(pk=receipt.pk, lease=receipt.lease, done_at=None)
    done = leased.update(done_at=clock.now(), next_attempt_at=None, detail="", provider_copy=provider_copy)
    if done:
        Output.objects.filter(generation=receipt.generation_id).update(key="")
    return bool(done)
