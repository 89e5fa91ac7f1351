"""Towards fal: so many a minute, by all processes together, and everybody in turn. Cases E6, E7."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.db.models import DateTimeField, ExpressionWrapper, F

from accounts.models import Bucket
from credits.models import Account
from generations import lifecycle
from generations.jobs import leases
from generations.models import CircuitBreaker, Generation, Phase, Submission
from generations.provider import circuit_breaker, dispatch_queue
from generations.workers import submitter
from simulator import Simulator
from tests.fixtures.limits import GENERATIONS, client_of, order_body
from tests.fixtures.orders import PlaceOrder
from tests.helpers.threads import race
from tests.services.waiting import until

pytestmark = pytest.mark.django_db


@pytest.fixture
def patient(fal: Simulator) -> Simulator:
    """A fal that takes everything, and neither ends nor calls."""
    fal.always("hold", "callback:lost")
    return fal


@pytest.fixture
def budget_of(settings):
    """`budget_of(100, burst=200)`"""

    def limit(per_minute: int, *, burst: int) -> None:
        settings.FAL_REQUESTS_PER_MINUTE, settings.FAL_REQUESTS_BURST = per_minute, burst

    return limit


def queued() -> int:
    return Generation.objects.filter(phase=Phase.QUEUED).count()


def sweep_until_all_are_sent() -> None:
    def sweep() -> bool:
        submitter.run_once(limit=8)
        return queued() == 0

    until(sweep)


# --- How much ---


@pytest.mark.django_db(transaction=True)
def test_a_burst_is_sent_and_then_as_many_as_the_rate_allows(patient: Simulator, order: PlaceOrder, budget_of) -> None:
    budget_of(1, burst=4)
    for _ in range(11):
        order()

    sent = []
    for minutes in (0, 1, 2, 10):
        let_time_pass(timedelta(minutes=minutes))
        submitter.run_once(limit=8)
        sent.append(len(patient.log.posts()))

    assert sent == [4, 5, 7, 11]


@pytest.mark.django_db(transaction=True)
def test_without_a_budget_they_all_go_at_once(patient: Simulator, order: PlaceOrder, budget_of) -> None:
    """The negative control: without a limit the same orders are sent by two rounds."""
    budget_of(100_000, burst=100)
    for _ in range(11):
        order()

    submitter.run_once(limit=8)
    submitter.run_once(limit=8)

    assert len(patient.log.posts()) == 11


def let_time_pass(time: timedelta) -> None:
    """Moves the bucket of the budget into the past, as its clock, the database's, cannot be moved."""
    Bucket.objects.update(full_at=ExpressionWrapper(F("full_at") - time, output_field=DateTimeField()))


def test_nobody_sees_an_error_when_the_budget_is_used_up(patient: Simulator, alice: Account, budget_of) -> None:
    budget_of(1, burst=1)
    api = client_of(alice)

    answers = [api.post(GENERATIONS, order_body(n)) for n in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert [answer.json()["status"] for answer in answers] == ["processing", "pending", "pending"]
    assert len(patient.log.posts()) == 1


@pytest.mark.django_db(transaction=True)
def test_many_who_send_at_once_share_one_budget(patient: Simulator, order: PlaceOrder, budget_of) -> None:
    budget_of(1, burst=3)
    orders = [order() for _ in range(8)]

    race(*(partial(submitter.submit_now, each, is_claimed=True) for each in orders))

    assert (len(patient.log.posts()), queued()) == (3, 5)


def test_what_may_not_be_sent_is_as_it_was(fal: Simulator, order: PlaceOrder, budget_of) -> None:
    budget_of(1, burst=1)
    submitter.submit_now(order())
    waiting = order()

    submitter.submit_now(waiting, is_claimed=True)

    assert (waiting.phase, waiting.version) == (Phase.QUEUED, 1)
    waiting.refresh_from_db()
    assert (waiting.phase, waiting.version) == (Phase.QUEUED, 1)
    assert waiting.submissions.get().state == Submission.State.PLANNED


def test_what_is_not_sent_takes_nothing_from_the_budget(patient: Simulator, order: PlaceOrder, budget_of) -> None:
    budget_of(1, burst=5)
    generation = order()
    lifecycle.submitting(generation)

    submitter.submit_now(generation)

    assert dispatch_queue.available() == 5


def test_a_probe_is_kept_for_when_it_can_be_sent(fal: Simulator, order: PlaceOrder, budget_of) -> None:
    budget_of(1, burst=1)
    submitter.submit_now(order())
    order()
    circuit_breaker.trip("locked")
    CircuitBreaker.objects.update(probed_at=None)

    submitter.run_once(limit=8)

    assert circuit_breaker.may_probe()


# --- Whose turn ---


@pytest.mark.django_db(transaction=True)
def test_one_order_goes_out_among_the_next_though_two_hundred_came_before(
    patient: Simulator, alice: Account, bob: Account, order: PlaceOrder, budget_of
) -> None:
    budget_of(1, burst=5)
    for _ in range(200):
        order()
    late = order(account=bob)

    submitter.run_once(limit=8)

    late.refresh_from_db()
    assert (late.phase, len(patient.log.posts())) == (Phase.WAITING, 5)


def test_by_time_alone_it_would_have_waited_for_all_of_them(alice: Account, bob: Account, order: PlaceOrder) -> None:
    """Negative control."""
    for _ in range(9):
        order()
    late = order(account=bob)

    claimed = leases.claim(Generation.objects.to_submit(), limit=8, seconds=30)

    assert late not in claimed


def test_one_by_one_they_take_turns(
    patient: Simulator, alice: Account, bob: Account, order: PlaceOrder, budget_of
) -> None:
    """Whoever comes later has not the younger head of a line to wait for: who was served longest ago is next."""
    budget_of(60_000, burst=1)
    orders = {order().pk: "alice" for _ in range(5)} | {order(account=bob).pk: "bob" for _ in range(3)}

    sweep_until_all_are_sent()

    sent = Submission.objects.order_by("sent_at").values_list("generation_id", flat=True)
    assert [orders[pk] for pk in sent] == ["alice", "bob", "alice", "bob", "alice", "bob", "alice", "alice"]


def test_two_workers_find_different_rows_in_the_line(alice: Account, bob: Account, order: PlaceOrder) -> None:
    for account in (alice, alice, alice, bob):
        order(account=account)

    claims = [dispatch_queue.claim_round_robin(Generation.objects.to_submit(), limit=2, seconds=30) for _ in range(3)]

    assert [sorted(str(row.account) for row in claim) for claim in claims] == [["alice", "bob"], ["alice"] * 2, []]


def test_a_worker_looks_past_what_others_have_in_hand(order: PlaceOrder) -> None:
    for _ in range(dispatch_queue.CANDIDATES_PER_ROW + 2):
        order()

    claims = [dispatch_queue.claim_round_robin(Generation.objects.to_submit(), limit=1, seconds=30) for _ in range(6)]

    assert [len(claim) for claim in claims] == [1] * 6


@pytest.mark.parametrize("room, posts", [(2, 0), (3, 1)])
def test_a_view_does_not_pass_by_those_who_wait(
    patient: Simulator, bob: Account, order: PlaceOrder, budget_of, room: int, posts: int
) -> None:
    budget_of(1, burst=room)
    for _ in range(2):
        order()

    submitter.submit_now(order(account=bob))

    assert len(patient.log.posts()) == posts
