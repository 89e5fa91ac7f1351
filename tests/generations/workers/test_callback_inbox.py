"""The inbox: callbacks are stored before they are acknowledged, and processed once.

Case ids: docs/failure-modes.md, group B.
"""

from __future__ import annotations

import json

import pytest

from generations.models import Generation, Output, ProviderCallback, Submission
from generations.workers import callback_inbox
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.database_guards import rejecting_inserts

pytestmark = pytest.mark.django_db(transaction=True)


def body_without_verdict(callbacks: CallbackSender, submission: Submission) -> bytes:
    return json.dumps({"request_id": callbacks.request_id(submission), "status": "PERHAPS"}).encode()


def test_b7_a_processed_callback_is_not_processed_again(callbacks: CallbackSender, submitted: Submission) -> None:
    """Two processes have read it as unprocessed, and the second one has waited for the lock of the first."""
    callbacks.send(submitted, body_without_verdict(callbacks, submitted))
    stored = ProviderCallback.objects.get()

    second = callback_inbox.process(stored)

    assert (stored.outcome, second) == (ProviderCallback.Outcome.UNCLEAR, ProviderCallback.Outcome.IGNORED)


def test_b7_b15_a_repeated_callback_without_a_verdict_does_not_make_the_row_due(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    callbacks.send(submitted, body_without_verdict(callbacks, submitted))
    Generation.objects.update(next_attempt_at="2999-01-01T00:00:00Z")

    assert callbacks.send(submitted, body_without_verdict(callbacks, submitted)) == 200

    assert Generation.objects.to_reconcile().count() == 0


def test_b36_a_callback_that_cannot_be_stored_is_not_acknowledged(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    """fal repeats it until it is answered with 200."""
    callbacks.client.raise_request_exception = False

    with rejecting_inserts(ProviderCallback):
        status = callbacks.send(submitted)

    assert status >= 500
    assert callbacks.send(submitted) == 200
    assert submitted.generation.outputs.count() == 1


def test_b35_a_callback_that_could_not_be_processed_is_tried_again_by_the_reconciler(
    callbacks: CallbackSender, submitted: Submission, work: Work
) -> None:
    with rejecting_inserts(Output):
        assert callbacks.send(submitted) == 200
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.RECEIVED

    work.reconcile()

    assert submitted.generation.outputs.count() == 1
