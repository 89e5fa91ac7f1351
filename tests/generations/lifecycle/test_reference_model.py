"""Compares the lifecycle with a model of forty lines, while facts are reported in any order, twice or late."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from credits import ledger
from credits.audit import audit
from credits.models import Account
from generations import lifecycle
from generations.catalogue import find
from generations.fal import FalClient, Reason
from generations.jobs import leases
from generations.lifecycle import StoredFile, failure
from generations.models import CancelledBy, FailureCode, Generation, Output, Submission
from generations.ordering.orders import Order

# `EXAMPLES_FACTOR=100 make test ARGS="-k agrees_with_its_model"` tries a hundred times as many examples.
EXAMPLES = 8 * int(os.environ.get("EXAMPLES_FACTOR") or 1)
STEPS = 40
GRANTED = 200
PRICE = 3
PROVIDER_ERROR = Reason(code="provider_error", retryable=True)
FILE = StoredFile(key="k", kind="image", content_type="image/png", size_bytes=1, sha256="s")
FAL = FalClient(key="k", queue_url="http://127.0.0.1:9")


@dataclass
class Expected:
    """The model of one order: its state, its outputs, and what it costs."""

    credits: int
    files_ordered: int
    state: str = "queued"
    """queued, sent, storing or done."""
    pending: set[int] = field(default_factory=set)
    """The indexes of the outputs that are not stored or lost yet."""
    delivered: int = 0
    """How many paid files are stored and not blackened."""
    captured: int = 0
    is_to_be_cancelled: bool = False
    """A cancellation was asked for while fal might have the job."""

    def answer(self, files: int, *, black: int) -> None:
        if self.state not in {"done", "storing"}:
            self.state, self.pending = ("storing", set(range(files))) if files else ("done", set())
            self.promised, self.black = max(files, self.files_ordered), black

    def end_copy(self, index: int, *, is_stored: bool) -> None:
        self.pending.discard(index)
        self.delivered += is_stored and index >= self.black
        if not self.pending:
            self.state, self.captured = "done", self.credits * self.delivered // self.promised

    def return_to_the_queue(self) -> None:
        if self.is_to_be_cancelled:
            self.fail()
        else:
            self.state = "queued"

    def fail(self) -> None:
        if self.state != "done":
            self.state, self.pending = "done", set()


class LifecycleAndModel(RuleBasedStateMachine):
    """Each run begins with one account, in a transaction that is rolled back at its end."""

    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self._run = transaction.atomic()
        self._run.__enter__()
        self.account = Account.objects.for_user(User.objects.create_user("alice"))
        ledger.grant(self.account, GRANTED, key="start", actor="test")
        self.expected: dict[Any, Expected] = {}
        self.jobs = 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self._run.__exit__(None, None, None)

    @rule(target=orders, files=st.integers(1, 4))
    def order(self, files: int) -> Any:
        model = find("flux-schnell")
        inputs = {"prompt": "a cat", "num_images": files}
        try:
            order = Order(model=model, inputs=model.read(inputs), raw_input=inputs)
            generation, *_ = lifecycle.order(self.account, order, actor="user:alice")
        except ledger.InsufficientCredits:
            self.account.refresh_from_db()
            assert self.account.available < PRICE * files
            return None
        self.expected[generation.pk] = Expected(credits=PRICE * files, files_ordered=files)
        return generation.pk

    @rule(order=orders)
    def begin_to_submit(self, order: Any) -> None:
        submission = lifecycle.submitting(self.generation(order))
        assert (submission is not None) == (self.expected[order].state == "queued")
        if submission:
            self.expected[order].state = "sent"

    @rule(order=orders)
    def report_receipt(self, order: Any) -> None:
        submission = self.submission(order)
        assume(submission.state in {Submission.State.SENT, Submission.State.UNKNOWN})
        self.jobs += 1
        lifecycle.submitted(submission, FAL.receipt_for("fal-ai/flux/schnell", f"job-{self.jobs}"))

    @rule(order=orders)
    def lose_the_receipt(self, order: Any) -> None:
        lifecycle.submission_lost(self.submission(order), detail="")

    @rule(order=orders, is_lost=st.booleans())
    def submit_again(self, order: Any, is_lost: bool) -> None:
        """fal refused the submission for now, or its record does not know a lost one."""
        submission, state = self.submission(order), self.expected[order].state
        if is_lost:
            was_queued = lifecycle.not_on_record(submission)
        else:
            was_queued = lifecycle.submission_refused(submission, detail="", retry_in_seconds=0)
        if was_queued:
            assert submission.state == (Submission.State.UNKNOWN if is_lost else Submission.State.SENT)
            assert state == "sent"
            self.expected[order].return_to_the_queue()

    @rule(order=orders)
    def reject(self, order: Any) -> None:
        submission = self.submission(order)
        if lifecycle.rejected(submission, failure(FailureCode.INVALID_INPUT)):
            assert submission.state == Submission.State.SENT
            self.expected[order].fail()

    @rule(order=orders, files=st.integers(0, 5), number=st.integers(0, 2), black=st.sampled_from([0, 0, 1, 5]))
    def answer(self, order: Any, files: int, number: int, black: int) -> None:
        submission = self.submission(order, number)
        assume(submission.state != Submission.State.PLANNED)
        answer = {
            "images": [{"url": f"https://v3.fal.media/{order}/{submission.pk}/{index}.png"} for index in range(files)],
            "has_nsfw_concepts": [index < black for index in range(files)],
        }
        lifecycle.answered(submission, answer)
        self.expected[order].answer(files, black=black)

    @rule(order=orders)
    def answer_with_an_error(self, order: Any) -> None:
        lifecycle.answered_error(self.submission(order), PROVIDER_ERROR)
        if self.expected[order].state != "storing":
            self.expected[order].fail()

    @rule(order=orders, index=st.integers(0, 4), is_stored=st.booleans(), times=st.integers(1, 3))
    def end_copy(self, order: Any, index: int, is_stored: bool, times: int) -> None:
        output = Output.objects.filter(generation=order, index=index).first()
        assume(output is not None and index in self.expected[order].pending)
        (leased,) = leases.claim(Output.objects.filter(pk=output.pk), limit=1, seconds=-1)  # type: ignore[union-attr]
        for _ in range(times):
            lifecycle.stored(leased, FILE) if is_stored else lifecycle.output_lost(leased, detail="gone")
        self.expected[order].end_copy(index, is_stored=is_stored)

    @rule(order=orders)
    def request_cancellation(self, order: Any) -> None:
        answer = lifecycle.cancel_asked(self.generation(order), by=CancelledBy.CUSTOMER, actor="user:alice")
        if self.expected[order].state == "queued":
            assert answer == "released"
            self.expected[order].fail()
        self.expected[order].is_to_be_cancelled = answer == "asked"

    @rule(order=orders)
    def cancel_at_fal(self, order: Any) -> None:
        lifecycle.cancelled(self.generation(order))
        if self.expected[order].state != "storing":
            self.expected[order].fail()

    @invariant()
    def the_rows_agree_with_the_model(self) -> None:
        held = sum(order.credits for order in self.expected.values() if order.state != "done")
        captured = sum(order.captured for order in self.expected.values())
        self.account.refresh_from_db()
        assert (self.account.balance, self.account.held) == (GRANTED - captured, held)
        for generation in Generation.objects.all():
            expected = self.expected[generation.pk]
            assert (generation.is_done, generation.captured) == (expected.state == "done", expected.captured)
        assert audit().findings == []

    def generation(self, order: Any) -> Generation:
        # The bundle contains None for orders that were refused.
        assume(order is not None)
        return Generation.objects.get(pk=order)

    def submission(self, order: Any, number: int = 0) -> Submission:
        """The newest submission, or the one that is `number` places older."""
        submissions = list(self.generation(order).submissions.order_by("-number"))
        return submissions[min(number, len(submissions) - 1)]


@pytest.mark.long
@pytest.mark.django_db
def test_the_lifecycle_agrees_with_its_model() -> None:
    sized = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )

    run_state_machine_as_test(LifecycleAndModel, settings=sized)

    assert Generation.objects.count() == 0
