"""Verdicts of fal that contradict the one that counts. They change nothing, and staff are told once.

fal's first verdict counts. A repeated one says the same again. One that says something else is a fault of fal, or of
what stands between: the customer may have been refunded for a job that fal bills, or charged for one that fal calls
failed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from generations.catalogue import extract_files
from generations.lifecycle.transitions import Fact, record_event
from generations.models import FailureCode, Generation, Phase, Status, Submission

logger = logging.getLogger(__name__)

# These ended a generation without a verdict of fal, so a late result contradicts none.
GIVEN_UP_BY_LIMN = {
    FailureCode.PROVIDER_UNFUNDED,
    FailureCode.RESULT_EXPIRED,
    FailureCode.COPY_FAILED,
    FailureCode.SUBMISSION_UNKNOWN,
    FailureCode.DEADLINE,
    FailureCode.INTERNAL_ERROR,
}


def answer_conflicts(generation: Generation, submission: Submission, answer: Mapping[str, Any]) -> bool:
    """Record a result that contradicts what a locked generation has. False if it says the same.

    The result of a surplus job is another one by its nature.
    """
    if submission.state == Submission.State.SURPLUS or generation.erased_at:
        return False
    if generation.failure_code in GIVEN_UP_BY_LIMN:
        _record_late_result(generation)
        return False
    if generation.status == Status.FAILED:
        return _record(generation, f"fal delivered a result after the end ({generation.failure_code})")
    files = {file.role: _without_query(file.url) for file in extract_files(answer)}
    known = {role: _without_query(url) for role, url in generation.outputs.values_list("role", "source_url")}
    return files != known and _record(generation, "fal delivered other files than before")


def failure_conflicts(generation: Generation, submission: Submission) -> bool:
    """Record a failure that contradicts the result of a locked generation. False if it has none."""
    has_result = generation.phase == Phase.STORING or generation.status == Status.COMPLETED
    if submission.state == Submission.State.SURPLUS or generation.erased_at or not has_result:
        return False
    return _record(generation, "fal reported a failure after the result")


def _record_late_result(generation: Generation) -> None:
    """Record that the operator pays for a job whose customer has been refunded."""
    detail = f"a result came after the end ({generation.failure_code})"
    logger.error("fal has a surplus job, which the operator pays", extra={"generation": str(generation.pk)})
    if not generation.events.filter(fact="surplus").exists():
        record_event(generation, Fact(name="surplus", actor="fal", staff_note=detail))


def _record(generation: Generation, detail: str) -> bool:
    logger.error("fal contradicts itself", extra={"generation": str(generation.pk), "detail": detail})
    if not generation.events.filter(fact="contradicted").exists():
        record_event(generation, Fact(name="contradicted", actor="fal", staff_note=detail))
    return True


def _without_query(url: str) -> str:
    # The copier may have asked fal for the result again, and the query of a URL may hold a signature.
    return url.partition("?")[0]
