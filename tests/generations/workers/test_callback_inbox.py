"""Callbacks are stored before they are acknowledged, and applied once. Case ids: docs/failure-modes.md, group B."""

from __future__ import annotations

import json

import pytest

from generations.models import Generation, Output, ProviderCallback, Submission
from generations.workers import callback_inbox
from simulator import Simulator
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.database_guards import rejecting_inserts

pytestmark = pytest.mark.django_db(transaction=True)


def unclear(callbacks: CallbackSender, submission: Submission) -> bytes:
    return json.dumps({"request_id": callbacks.request_id(submission), "status": "PERHAPS"}).encode()


def test_b7_what_was_told_is_not_told_again(callbacks: CallbackSender, submitted: Submission) -> None:
    """Two heard it at once; the second waited for the first's lock."""
    callbacks.send(submitted, unclear(callbacks, submitted))
    delivery = ProviderCallback.objects.get()

    assert (delivery.outcome, callback_inbox.process(delivery)) == (
        ProviderCallback.Outcome.UNCLEAR,
        ProviderCallback.Outcome.IGNORED,
    )


def test_b7_b15_a_repetition_does_not_make_us_ask_fal_again(callbacks: CallbackSender, submitted: Submission) -> None:
    callbacks.send(submitted, unclear(callbacks, submitted))
    Generation.objects.update(next_attempt_at="2999-01-01T00:00:00Z")

    assert callbacks.send(submitted, unclear(callbacks, submitted)) == 200

    assert Generation.objects.to_reconcile().count() == 0


def test_b36_a_callback_that_cannot_be_kept_is_not_acknowledged(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    """fal sends it again, as long as it does not hear 200."""
    callbacks.client.raise_request_exception = False

    with rejecting_inserts(ProviderCallback):
        answer = callbacks.send(submitted)

    assert answer >= 500
    assert callbacks.send(submitted) == 200
    assert submitted.generation.outputs.count() == 1


def test_b35_a_callback_that_was_kept_and_not_told_is_told_by_the_next(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    callbacks.client.raise_request_exception = False
    with rejecting_inserts(Output):
        callbacks.send(submitted)
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.RECEIVED

    assert callbacks.send(submitted) == 200

    assert submitted.generation.outputs.count() == 1
