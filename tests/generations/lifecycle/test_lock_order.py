"""An order and the end of another job take the locks of their account in one order, so neither is a deadlock."""

from __future__ import annotations

import threading

import pytest
from django.db import transaction

from credits import statements as ledger_statements
from credits.models import Account
from generations.models import Generation, Phase
from tests.fixtures.orders import PlaceOrder
from tests.helpers.lifecycle_facts import FACTS, FILE_FACTS, REACH, Fact
from tests.helpers.threads import race
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

pytestmark = [pytest.mark.only_postgresql, pytest.mark.django_db(transaction=True)]

ENDS = [
    (Phase.WAITING, FACTS["failed"]),
    (Phase.STORING, FILE_FACTS["stored"]),
    (Phase.STORING, FILE_FACTS["output_lost"]),
]


@pytest.mark.parametrize("phase, end", ENDS)
def test_an_order_is_placed_while_another_job_of_the_account_ends(
    phase: Phase, end: Fact, alice: Account, order: PlaceOrder, caplog: pytest.LogCaptureFixture
) -> None:
    submission = order().submissions.get()
    REACH[phase](submission)
    has_lock = threading.Event()

    def place() -> int:
        with transaction.atomic():
            # An order begins with this lock.
            ledger_statements.lock(alice.pk)
            has_lock.set()
            until(a_lock_is_awaited, what="the end to wait for the account")
            order()
        return Generation.objects.count()

    def end_after_the_lock() -> object:
        has_lock.wait(HANG_SECONDS)
        return end(submission)

    assert race(place, end_after_the_lock) == [2, True]
    # Otherwise a deadlock would be hidden by the second attempt.
    assert "a transaction is repeated" not in caplog.messages
