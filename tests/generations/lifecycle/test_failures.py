"""The code and message of a failure, and texts that are too long for their columns."""

from __future__ import annotations

from typing import Any

import pytest

from generations import lifecycle
from generations.fal import Reason
from generations.models import CancelledBy, Event, FailureCode, Generation, InputFile, Output
from tests.fixtures.orders import PlaceOrder
from tests.helpers.lifecycle_facts import reach_storing

# --- Codes and messages ---


@pytest.mark.parametrize(
    "cancel_asked_by, reason_code, code",
    [
        ("", "cancelled", FailureCode.PROVIDER_ERROR),
        ("customer", "cancelled", FailureCode.CANCELLED),
        ("staff", "cancelled", FailureCode.CANCELLED),
        ("deadline", "cancelled", FailureCode.DEADLINE),
        ("deadline", "content_policy", FailureCode.CONTENT_POLICY),
        ("", "content_policy", FailureCode.CONTENT_POLICY),
    ],
)
def test_the_code_of_a_cancellation_depends_on_who_requested_it(
    cancel_asked_by: str, reason_code: Any, code: FailureCode
) -> None:
    generation = Generation(cancel_asked_by=cancel_asked_by)

    failure = lifecycle.failure_for(generation, Reason(code=reason_code, retryable=False))

    assert (failure.code, failure.message) == (code, lifecycle.failure(code).message)


@pytest.mark.parametrize(
    "location, code",
    [
        (["body", "image_urls", 0], FailureCode.INTERNAL_ERROR),
        (["body", "image_urls", 1], FailureCode.INVALID_INPUT),
        (["body"], FailureCode.INVALID_INPUT),
    ],
    ids=str,
)
@pytest.mark.django_db
def test_the_customer_is_not_blamed_if_fal_cannot_download_a_file_of_limn(
    location: list[Any], code: FailureCode, order: PlaceOrder
) -> None:
    generation, earlier = order(), order()
    reach_storing(earlier.submissions.get())
    InputFile.objects.create(generation=generation, path="image_urls[0]", output=earlier.outputs.get())
    error = {"loc": location, "msg": "could not be downloaded", "type": "file_download_error"}

    failure = lifecycle.failure_for(generation, Reason(code="invalid_input", retryable=False, errors=[error]))

    assert (failure.code, failure.retryable) == (code, code == FailureCode.INTERNAL_ERROR)


@pytest.mark.parametrize(
    "cancel_asked_by, message",
    [("customer", "Cancelled at fal."), ("deadline", lifecycle.failure(FailureCode.DEADLINE).message)],
)
def test_the_providers_message_is_kept_unless_limn_cancelled_at_its_deadline(
    cancel_asked_by: str, message: str
) -> None:
    reason = Reason(code="cancelled", retryable=False, message="Cancelled at fal.")

    assert lifecycle.failure_for(Generation(cancel_asked_by=cancel_asked_by), reason).message == message


# --- Long texts ---

LONG = "x" * 2000


@pytest.mark.django_db
def test_details_and_actors_are_cut_to_the_length_of_their_columns(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    lifecycle.submitting(submission.generation)
    lifecycle.submission_lost(submission, detail=LONG)
    lifecycle.cancel_asked(submission.generation, by=CancelledBy.STAFF, actor=LONG)

    submission.refresh_from_db()
    lost, cancel_asked = Event.objects.order_by("pk")[2:]
    assert (len(submission.detail), len(lost.staff_note), len(cancel_asked.actor)) == (500, 500, 150)


@pytest.mark.django_db
def test_the_detail_of_a_refusal_is_cut(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    lifecycle.submitting(submission.generation)

    lifecycle.submission_refused(submission, detail=LONG, retry_in_seconds=0)

    submission.refresh_from_db()
    assert len(submission.detail) == 500


@pytest.mark.django_db
@pytest.mark.parametrize("is_final", [True, False])
def test_the_detail_of_a_failed_copy_is_cut(is_final: bool, order: PlaceOrder) -> None:
    reach_storing(order().submissions.get())
    output = Output.objects.get()

    if is_final:
        lifecycle.output_lost(output, detail=LONG)
    else:
        lifecycle.not_copied(output, detail=LONG, missed=True)

    assert len(Output.objects.get().detail) == 500
