"""The inbox: callbacks are stored before they are acknowledged, and processed once.

Case ids: docs/failure-modes.md, group B.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from credits.models import Account
from generations.models import Generation, Output, ProviderCallback, Submission
from generations.workers import callback_inbox
from simulator import Simulator
from tests.fixtures.callbacks import SubmitMany
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.database_guards import execute, locked, rejecting_inserts

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


@pytest.fixture
def short_lock_timeout() -> Iterator[None]:
    execute("SET lock_timeout = '100ms'")
    yield
    execute("RESET lock_timeout")


@pytest.fixture
def unprocessed(fal: Simulator, callbacks: CallbackSender) -> CallbackSender:
    """Sends callbacks that the test processes itself."""
    return CallbackSender(fal=fal, client=callbacks.client, is_processed=False)


@pytest.mark.only_postgresql
@pytest.mark.usefixtures("short_lock_timeout")
def test_callbacks_that_need_a_locked_account_hold_up_no_other(
    submit_many: SubmitMany, unprocessed: CallbackSender, alice: Account, bob: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a refund needs the account. One of Alice's two callbacks waits for it."""
    submissions = [*submit_many(2), *submit_many(1, account=bob)]
    for submission in submissions:
        failure = {"request_id": submission.request_id, "status": "ERROR", "error": "x"}
        unprocessed.send(submission, json.dumps(failure).encode())
    applied = ProviderCallback.objects.filter(outcome=ProviderCallback.Outcome.APPLIED)

    with locked(alice):
        callback_inbox.run_once(limit=9)
        assert applied.get().submission == submissions[-1]
        assert caplog.messages.count("a callback waits for a locked row") == 1

    callback_inbox.run_once(limit=9)
    assert applied.count() == 3
