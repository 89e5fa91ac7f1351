"""What fal has said is recorded although the database ends the transaction because of another one.

Otherwise the order would be sent to fal again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections
from psycopg import errors
from rest_framework.test import APIClient

from accounts import api_keys
from credits.models import Account
from database import transactions
from generations import lifecycle
from generations.models import Generation, Phase
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.lifecycle_facts import FACTS, FILE_FACTS, REACH, Fact
from tests.helpers.locks import another_session
from tests.services.waiting import a_lock_is_awaited, until

pytestmark = pytest.mark.django_db(transaction=True)

Execute = Callable[..., Any]
Ordered = Callable[[Callable[[], None]], Generation]


# --- Every fact, with an error in the place of its first statement ---

PHASES = {
    "submitted": Phase.SUBMITTING,
    "submission_lost": Phase.SUBMITTING,
    "submission_refused": Phase.SUBMITTING,
    "rejected": Phase.SUBMITTING,
    "not_on_record": Phase.UNKNOWN,
    "give_up": Phase.QUEUED,
    **dict.fromkeys(FILE_FACTS, Phase.STORING),
}
RECORDED: dict[str, Fact] = {
    **{name: fact for name, fact in FACTS.items() if name != "submitting"},
    **FILE_FACTS,
    "erase": lambda submission: bool(lifecycle.erase(submission.generation, actor="user:alice")),
    "not_sent": lambda submission: lifecycle.not_sent(submission, detail="suspended"),
}


@contextmanager
def first_statement_fails(cause: type[Exception]) -> Iterator[None]:
    """The first statement of the first transaction fails."""
    is_first = True

    def fail_first(execute: Execute, *arguments: Any) -> Any:
        nonlocal is_first
        if is_first and connection.in_atomic_block:
            is_first = False
            raise OperationalError("ended") from cause("ended")
        return execute(*arguments)

    with connection.execute_wrapper(fail_first):
        yield


def phase_of(name: str) -> Phase:
    """A phase in which the fact changes the generation."""
    phases = {"erase": Phase.DONE, "not_sent": Phase.SUBMITTING, "progressed: waiting": Phase.RUNNING}
    return {**PHASES, **phases}.get(name, Phase.WAITING)


@pytest.mark.parametrize("name", RECORDED)
def test_a_fact_is_recorded_although_its_transaction_was_ended(name: str, order: PlaceOrder) -> None:
    submission = order().submissions.get()
    REACH[phase_of(name)](submission)
    submission.refresh_from_db()

    with first_statement_fails(errors.DeadlockDetected):
        assert RECORDED[name](submission) is True


def test_submitting_is_not_repeated(order: PlaceOrder) -> None:
    """If its commit succeeded unnoticed, the repetition would find its submission sent by another process."""
    with first_statement_fails(errors.DeadlockDetected), pytest.raises(OperationalError):
        lifecycle.submitting(order())


# --- The receipt of an order, with real locks ---


@dataclass
class Interference:
    """Another session, which locks the rows of an order while fal's receipt is recorded."""

    session: psycopg.Connection[Any]
    threads: ThreadPoolExecutor
    attempts: int = 0

    def lock_for_two_attempts(self) -> None:
        """Locks the generation, so that the first two attempts wait in vain."""
        if self.attempts == 1:
            self.session.execute("SELECT 1 FROM generations_generation FOR NO KEY UPDATE")
        if self.attempts == 3:
            self.session.rollback()

    def be_in_a_deadlock(self) -> None:
        """Locks the submission, and then the generation, which the receipt changes in the opposite order."""
        if self.attempts == 1:
            # The other one notices the deadlock, and is ended.
            self.session.execute("SET deadlock_timeout = '1h'")
            self.session.execute("SELECT 1 FROM generations_submission FOR NO KEY UPDATE")
            self.threads.submit(self._lock_generation)

    def _lock_generation(self) -> None:
        try:
            until(a_lock_is_awaited, what="the receipt to wait for the submission")
            self.session.execute("SELECT 1 FROM generations_generation FOR NO KEY UPDATE")
        finally:
            self.session.rollback()
            connections.close_all()


@pytest.fixture
def other() -> Iterator[Interference]:
    with another_session() as session, ThreadPoolExecutor(1) as threads:
        yield Interference(session, threads)


@pytest.mark.only_postgresql
class TestReceipt:
    @pytest.fixture
    def ordered(self, alice: Account, fal: Simulator, other: Interference) -> Ordered:
        """`ordered(interfere)`: an order through the API. `interfere` is called before each attempt to record."""
        fal.always("hold", "callback:lost")
        api = APIClient(headers={"Authorization": f"Token {api_keys.issue(alice.user, 'test').plain}"})

        def interfere_after_post(interfere: Callable[[], None], execute: Execute, sql: str, *rest: Any) -> Any:
            if fal.log.posts() and ("UPDATE generations_generation" in sql or "FOR NO KEY UPDATE" in sql):
                other.attempts += 1
                interfere()
            return execute(sql, *rest)

        def order(interfere: Callable[[], None]) -> Generation:
            with connection.cursor() as cursor:
                cursor.execute("SET deadlock_timeout = '50ms'; SET lock_timeout = '500ms'")
            with connection.execute_wrapper(partial(interfere_after_post, interfere)):
                response = api.post("/api/v1/generations/", {"model": "flux-schnell", "input": {"prompt": "a cat"}})
            other.session.rollback()
            assert (response.status_code, len(fal.log.posts())) == (202, 1)
            return Generation.objects.get(pk=response.json()["id"])

        return order

    def test_is_recorded_although_the_row_was_locked(self, ordered: Ordered, other: Interference) -> None:
        assert ordered(other.lock_for_two_attempts).phase == Phase.WAITING

    def test_is_recorded_although_it_was_in_a_deadlock(self, ordered: Ordered, other: Interference) -> None:
        assert ordered(other.be_in_a_deadlock).phase == Phase.WAITING

    def test_is_lost_with_one_attempt(
        self, ordered: Ordered, other: Interference, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Negative control. fal's record or its callback has to tell of the job."""
        monkeypatch.setattr(transactions, "TIMES", 1)

        assert ordered(other.lock_for_two_attempts).phase == Phase.SUBMITTING

    def test_is_lost_in_a_deadlock_that_is_not_expected(
        self, ordered: Ordered, other: Interference, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Negative control."""
        # The package has a function of the name of this module.
        module = import_module("generations.lifecycle.submitting")
        monkeypatch.setattr(module, "is_passing", lambda error: False)

        assert ordered(other.be_in_a_deadlock).phase == Phase.SUBMITTING
