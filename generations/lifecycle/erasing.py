"""Erasing: what was asked and made goes, what it cost stays. The rows are emptied at once, the files follow."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from generations.errors import InUse, NotFinished
from generations.lifecycle.transitions import lock, record_event
from generations.models import Erasure, Generation, InputFile, Output, Phase, ProviderCallback


class GenerationInUse(InUse):
    """Another generation that has not ended works on an output of this one."""

    default_detail = "A generation that has not ended uses an output of this one. Cancel it, or wait for its end."


@transaction.atomic
def erase(generation: Generation, *, actor: str) -> Erasure:
    """The receipt; the same one when it is asked again. Raises NotFinished, GenerationInUse."""
    generation = lock(generation.pk)
    if (earlier := Erasure.objects.filter(generation=generation).first()) is not None:
        return earlier
    if generation.phase != Phase.DONE:
        raise NotFinished("Only a generation that has ended can be erased. Cancel it first.")
    # Orders lock the files that they use: each is either found in use here, or not found there.
    list(generation.outputs.select_for_update().order_by("pk"))
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
    _empty(generation)
    record_event(generation, "erased", actor=actor)
    return receipt


def _empty(generation: Generation) -> None:
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
    # fal's words may repeat the prompt, and its payloads do. That it was too much for fal is counted for ever.
    too_much = When(fact="not_taken", staff_note__startswith="429", then=Value("429"))
    generation.events.update(staff_note=Case(too_much, default=Value("")))
    generation.submissions.update(detail="")
    ProviderCallback.objects.filter(submission__generation=generation).update(body=b"")
    generation.outputs.update(state=Output.State.ERASED, source_url="", detail="", next_attempt_at=None)


def reopen_erasure(generation: Generation) -> None:
    """fal has one more job of what may be erased. Who works on the receipt begins anew: he has not seen this one."""
    receipts = Erasure.objects.filter(generation=generation)
    receipts.update(done_at=None, next_attempt_at=Now(), lease=None, leased_until=None)


@transaction.atomic
def erased(receipt: Erasure, *, provider_copy: Erasure.ProviderCopy) -> bool:
    """Its files are gone, and fal has been told. Only the holder of the lease may say so."""
    mine = Erasure.objects.filter(pk=receipt.pk, lease=receipt.lease, done_at=None)
    done = mine.update(done_at=timezone.now(), next_attempt_at=None, detail="", provider_copy=provider_copy)
    if done:
        Output.objects.filter(generation=receipt.generation_id).update(key="")
    return bool(done)
