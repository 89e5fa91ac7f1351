"""All customers share the row of the rate limit towards fal. A transaction that has it waits for nothing else.

So a locked account delays the orders of this account only (docs/decisions/0009-locks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from psycopg import sql
from pytest_django.fixtures import Settings

from credits.models import Account
from generations.lifecycle import placing
from generations.models import Generation, Phase
from generations.provider import dispatch_queue
from generations.workers import submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.locks import another_session
from tests.services.waiting import a_lock_is_awaited, until

pytestmark = pytest.mark.django_db(transaction=True)

Waiting = Callable[[Callable[[], Any]], None]


def last_statement(act: Callable[[], object]) -> str:
    """The last statement of the transaction that records the submission."""
    with CaptureQueriesContext(connection) as captured:
        act()
    statements = [query["sql"] for query in captured.captured_queries]
    return statements[statements.index("COMMIT") - 1]


@pytest.fixture
def has_bucket(fal: Simulator, order: PlaceOrder) -> None:
    """The first order of all creates the row."""
    order(prompt="the first", send=True)


def test_an_order_takes_its_place_in_the_rate_limit_last(has_bucket: None, order: PlaceOrder) -> None:
    assert "UPDATE accounts_bucket" in last_statement(lambda: order(send=True))


def test_a_worker_takes_its_place_in_the_rate_limit_last(has_bucket: None, order: PlaceOrder) -> None:
    queued = order()

    assert "UPDATE accounts_bucket" in last_statement(lambda: submitter.submit_now(queued))


def test_an_order_beyond_the_rate_limit_is_placed_without_a_submission(
    fal: Simulator, order: PlaceOrder, settings: Settings
) -> None:
    settings.FAL_REQUESTS_PER_MINUTE = settings.FAL_REQUESTS_BURST = 1
    order(prompt="the first", send=True)

    placed = order(send=True)

    assert (placed.phase, placed.version, len(fal.log.posts())) == (Phase.QUEUED, 1, 1)
    assert placed.events.count() == 1


@pytest.mark.only_postgresql
class TestALockedAccount:
    @pytest.fixture
    def locked_account(self, has_bucket: None, waiting: Waiting, alice: Account) -> Iterator[Account]:
        """Another session has locked it, with the strongest lock that there is, until those that wait are awaited."""
        with another_session() as session:
            session.execute(sql.SQL("SELECT 1 FROM credits_account WHERE id = %s FOR UPDATE"), [alice.pk])
            yield alice

    @pytest.fixture
    def waiting(self) -> Iterator[Waiting]:
        """`waiting(act)` calls `act` in a thread, and returns when it waits for a lock."""
        threads = ThreadPoolExecutor(4)

        def start(act: Callable[[], Any]) -> None:
            def run() -> None:
                try:
                    with connection.cursor() as cursor:
                        cursor.execute("SET lock_timeout = 0")
                    act()
                finally:
                    connections.close_all()

            threads.submit(run)
            until(a_lock_is_awaited, what="the lock")

        yield start
        threads.shutdown()

    def test_delays_no_order_of_another_account(
        self, locked_account: Account, waiting: Waiting, order: PlaceOrder, bob: Account
    ) -> None:
        waiting(lambda: order(send=True))

        placed = order(account=bob, send=True)

        assert placed.phase == Phase.WAITING

    def test_delays_no_submission_of_another_account(
        self, queued: list[Generation], locked_account: Account, waiting: Waiting
    ) -> None:
        of_alice, of_bob = queued
        waiting(lambda: submitter.submit_now(of_alice))

        submitter.submit_now(of_bob)

        of_bob.refresh_from_db()
        assert of_bob.phase == Phase.WAITING

    @pytest.fixture
    def queued(self, fal: Simulator, order: PlaceOrder, bob: Account) -> list[Generation]:
        return [order(), order(account=bob)]

    def test_with_the_rate_limit_first_it_delays_all_orders(
        self, locked_account: Account, waiting: Waiting, order: PlaceOrder, bob: Account
    ) -> None:
        """Negative control."""

        def order_with_the_rate_limit_first() -> None:
            with transaction.atomic():
                dispatch_queue.acquire()
                placing.lock_account(locked_account)

        waiting(order_with_the_rate_limit_first)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")

        with pytest.raises(OperationalError, match="lock timeout"):
            order(account=bob, send=True)
