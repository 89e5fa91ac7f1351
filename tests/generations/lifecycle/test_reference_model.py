"""Generations beside a model of forty lines: whatever is reported, in whatever order, twice or late, both end alike."""

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

EXAMPLES = 8 * int(os.environ.get("SOAK") or 1)
STEPS = 40
GRANTED = 200
PRICE = 3
REASON = Reason(code="provider_error", retryable=True)
FILE = StoredFile(key="k", kind="image", content_type="image/png", size_bytes=1, sha256="s")
FAL = FalClient(key="k", queue_url="http://127.0.0.1:9")


@dataclass
class Expected:
    """What ought to become of one order."""

    credits: int
    files: int
    state: str = "queued"
    pending: set[int] = field(default_factory=set)
    stored: int = 0
    paid: int = 0

    def answer(self, files: int, *, black: int) -> None:
        if self.state not in {"done", "storing"}:
            self.state, self.pending = ("storing", set(range(files))) if files else ("done", set())
            self.promised, self.black = max(files, self.files), black

    def end_of_copy(self, index: int, *, whole: bool) -> None:
        self.pending.discard(index)
        self.stored += whole and index >= self.black
        if not self.pending:
            self.state, self.paid = "done", self.credits * self.stored // self.promised

    def fail(self) -> None:
        if self.state != "done":
            self.state, self.pending = "done", set()


class GenerationsBesideModel(RuleBasedStateMachine):
    """Each run begins with one customer, in a transaction that is taken back at its end."""

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
        asked = {"prompt": "a cat", "num_images": files}
        try:
            wish = Order(model=model, inputs=model.read(asked), raw_input=asked)
            generation, _ = lifecycle.order(self.account, wish, actor="user:alice")
        except ledger.InsufficientCredits:
            assert self.available() < PRICE * files
            return None
        self.expected[generation.pk] = Expected(credits=PRICE * files, files=files)
        return generation.pk

    @rule(order=orders)
    def begin_to_send(self, order: Any) -> None:
        sent = lifecycle.submitting(self.row(order))
        assert (sent is not None) == (self.expected[order].state == "queued")
        if sent:
            self.expected[order].state = "sent"

    @rule(
        order=orders,
        heard=st.sampled_from(["receipt", "receipt again", "lost", "not taken", "not on record", "rejected"]),
    )
    def hear_of_the_attempt(self, order: Any, heard: str) -> None:
        attempt, state = self.attempt(order), self.expected[order].state
        sent, unknown = attempt.state == Submission.State.SENT, attempt.state == Submission.State.UNKNOWN
        if heard.startswith("receipt"):
            assume(sent or unknown)
            self.take(attempt)
        elif heard == "lost":
            lifecycle.submission_lost(attempt, detail="")
        elif heard == "not taken" and lifecycle.submission_refused(attempt, detail="", retry_in_seconds=0):
            assert sent
            assert state == "sent"
            self.expected[order].state = "queued"
        elif heard == "not on record" and lifecycle.not_on_record(attempt):
            assert unknown
            assert state == "sent"
            self.expected[order].state = "queued"
        elif heard == "rejected" and lifecycle.rejected(attempt, failure(FailureCode.INVALID_INPUT)):
            assert sent
            self.expected[order].fail()

    @rule(order=orders, files=st.integers(0, 5), number=st.integers(0, 2), black=st.sampled_from([0, 0, 1, 5]))
    def fal_answers(self, order: Any, files: int, number: int, black: int) -> None:
        attempt = self.attempt(order, number)
        assume(attempt.state != Submission.State.PLANNED)
        answer = {
            "images": [{"url": f"https://v3.fal.media/{order}/{attempt.pk}/{index}.png"} for index in range(files)],
            "has_nsfw_concepts": [index < black for index in range(files)],
        }
        lifecycle.answered(attempt, answer)
        self.expected[order].answer(files, black=black)

    @rule(order=orders)
    def fal_fails(self, order: Any) -> None:
        lifecycle.answered_error(self.attempt(order), REASON)
        if self.expected[order].state != "storing":
            self.expected[order].fail()

    @rule(order=orders, index=st.integers(0, 4), whole=st.booleans(), times=st.integers(1, 3))
    def a_copy_ends(self, order: Any, index: int, whole: bool, times: int) -> None:
        output = Output.objects.filter(generation=order, index=index).first()
        assume(output is not None and index in self.expected[order].pending)
        (held,) = leases.claim(Output.objects.filter(pk=output.pk), limit=1, seconds=-1)  # type: ignore[union-attr]
        for _ in range(times):
            lifecycle.stored(held, FILE) if whole else lifecycle.output_lost(held, detail="gone")
        self.expected[order].end_of_copy(index, whole=whole)

    @rule(order=orders)
    def the_customer_cancels(self, order: Any) -> None:
        answer = lifecycle.cancel_asked(self.row(order), by=CancelledBy.CUSTOMER, actor="user:alice")
        if self.expected[order].state == "queued":
            assert answer == "released"
            self.expected[order].fail()

    @rule(order=orders)
    def fal_takes_it_off_its_queue(self, order: Any) -> None:
        lifecycle.cancelled(self.row(order))
        if self.expected[order].state != "storing":
            self.expected[order].fail()

    @invariant()
    def both_have_the_same(self) -> None:
        held = sum(order.credits for order in self.expected.values() if order.state != "done")
        paid = sum(order.paid for order in self.expected.values())
        self.account.refresh_from_db()
        assert (self.account.balance, self.account.held) == (GRANTED - paid, held)
        for generation in Generation.objects.all():
            expected = self.expected[generation.pk]
            assert (generation.is_done, generation.captured) == (expected.state == "done", expected.paid)
        assert audit().findings == []

    def take(self, attempt: Submission) -> None:
        self.jobs += 1
        lifecycle.submitted(attempt, FAL.receipt_for("fal-ai/flux/schnell", f"job-{self.jobs}"))

    def available(self) -> int:
        self.account.refresh_from_db()
        return self.account.available

    def row(self, order: Any) -> Generation:
        assume(order is not None)
        return Generation.objects.get(pk=order)

    def attempt(self, order: Any, number: int = 0) -> Submission:
        """The newest attempt, or an earlier one."""
        attempts = list(self.row(order).submissions.order_by("-number"))
        return attempts[min(number, len(attempts) - 1)]


@pytest.mark.django_db
def test_generations_agree_with_their_model() -> None:
    sized = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )

    run_state_machine_as_test(GenerationsBesideModel, settings=sized)

    assert Generation.objects.count() == 0
