"""The limit of submissions a minute, shared by all processes, and the turns of the accounts. Cases E6, E7."""

from __future__ import annotations

from collections.abc import Callable
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

SetBudget = Callable[..., None]


@pytest.fixture
def patient_fal(fal: Simulator) -> Simulator:
    """fal accepts every request, never finishes it, and sends no callback."""
    fal.always("hold", "callback:lost")
    return fal


@pytest.fixture
def set_budget(settings) -> SetBudget:
    """`set_budget(100, burst=200)`: 100 submissions a minute, 200 at once after a pause."""

    def set_rate(per_minute: int, *, burst: int) -> None:
        settings.FAL_REQUESTS_PER_MINUTE, settings.FAL_REQUESTS_BURST = per_minute, burst

    return set_rate


def queued() -> int:
    return Generation.objects.filter(phase=Phase.QUEUED).count()


def let_time_pass(time: timedelta) -> None:
    """Moves the token bucket into the past, because the database's clock cannot be moved forward."""
    Bucket.objects.update(full_at=ExpressionWrapper(F("full_at") - time, output_field=DateTimeField()))


# --- The rate limit ---


@pytest.mark.django_db(transaction=True)
def test_a_burst_is_sent_at_once_and_the_rest_at_the_rate(
    patient_fal: Simulator, order: PlaceOrder, set_budget: SetBudget
) -> None:
    set_budget(1, burst=4)
    for _ in range(11):
        order()

    sent = []
    for minutes in (0, 1, 2, 10):
        let_time_pass(timedelta(minutes=minutes))
        submitter.run_once(limit=8)
        sent.append(len(patient_fal.log.posts()))

    assert sent == [4, 5, 7, 11]


@pytest.mark.django_db(transaction=True)
def test_without_a_limit_all_generations_are_sent_at_once(
    patient_fal: Simulator, order: PlaceOrder, set_budget: SetBudget
) -> None:
    """Negative control: with a rate limit that is never reached, two runs send the same orders."""
    set_budget(100_000, burst=100)
    for _ in range(11):
        order()

    submitter.run_once(limit=8)
    submitter.run_once(limit=8)

    assert len(patient_fal.log.posts()) == 11


def test_orders_beyond_the_budget_are_accepted_and_stay_pending(
    patient_fal: Simulator, alice: Account, set_budget: SetBudget
) -> None:
    set_budget(1, burst=1)
    api = client_of(alice)

    responses = [api.post(GENERATIONS, order_body(n)) for n in range(3)]

    assert [response.status_code for response in responses] == [202, 202, 202]
    assert [response.json()["status"] for response in responses] == ["processing", "pending", "pending"]
    assert len(patient_fal.log.posts()) == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_submitters_share_one_budget(
    patient_fal: Simulator, order: PlaceOrder, set_budget: SetBudget
) -> None:
    set_budget(1, burst=3)
    generations = [order() for _ in range(8)]

    race(*(partial(submitter.submit_now, generation) for generation in generations))

    assert (len(patient_fal.log.posts()), queued()) == (3, 5)


def test_a_generation_beyond_the_budget_is_unchanged(fal: Simulator, order: PlaceOrder, set_budget: SetBudget) -> None:
    set_budget(1, burst=1)
    submitter.submit_now(order())
    waiting = order()

    submitter.submit_now(waiting)

    # First the object that the caller has, then its row.
    assert (waiting.phase, waiting.version) == (Phase.QUEUED, 1)
    waiting.refresh_from_db()
    assert (waiting.phase, waiting.version) == (Phase.QUEUED, 1)
    assert waiting.submissions.get().state == Submission.State.PLANNED


def test_a_submission_that_another_process_sends_does_not_use_the_budget(
    patient_fal: Simulator, order: PlaceOrder, set_budget: SetBudget
) -> None:
    set_budget(1, burst=5)
    generation = order()
    lifecycle.submitting(generation)

    submitter.submit_now(generation)

    assert dispatch_queue.available() == 5


def test_a_probe_is_not_used_up_while_the_budget_is(fal: Simulator, order: PlaceOrder, set_budget: SetBudget) -> None:
    set_budget(1, burst=1)
    submitter.submit_now(order())
    order()
    circuit_breaker.trip("locked")
    CircuitBreaker.objects.update(probed_at=None)

    submitter.run_once(limit=8)

    assert circuit_breaker.take_probe()


# --- The turns of the accounts ---


@pytest.mark.django_db(transaction=True)
def test_an_order_is_among_the_next_though_another_account_has_placed_two_hundred_before(
    patient_fal: Simulator, bob: Account, order: PlaceOrder, set_budget: SetBudget
) -> None:
    set_budget(1, burst=5)
    for _ in range(200):
        order()
    late = order(account=bob)

    submitter.run_once(limit=8)

    late.refresh_from_db()
    assert (late.phase, len(patient_fal.log.posts())) == (Phase.WAITING, 5)


def test_in_the_order_of_time_the_late_order_would_not_be_among_the_next(bob: Account, order: PlaceOrder) -> None:
    """Negative control: without turns, an account with many orders delays all others."""
    for _ in range(9):
        order()
    late = order(account=bob)

    claimed = leases.claim(Generation.objects.to_submit(), limit=8, seconds=30)

    assert late not in claimed


def test_accounts_take_turns(patient_fal: Simulator, bob: Account, order: PlaceOrder, set_budget: SetBudget) -> None:
    """The account that was served longest ago is next, whenever its order was placed."""
    set_budget(60_000, burst=1)
    owners = {order().pk: "alice" for _ in range(5)} | {order(account=bob).pk: "bob" for _ in range(3)}

    def submit_next() -> bool:
        submitter.run_once(limit=8)
        return queued() == 0

    until(submit_next)

    sent = Submission.objects.order_by("sent_at").values_list("generation_id", flat=True)
    assert [owners[pk] for pk in sent] == ["alice", "bob", "alice", "bob", "alice", "bob", "alice", "alice"]


def test_two_workers_claim_different_generations(alice: Account, bob: Account, order: PlaceOrder) -> None:
    for account in (alice, alice, alice, bob):
        order(account=account)

    claims = [dispatch_queue.claim_round_robin(Generation.objects.to_submit(), limit=2, seconds=30) for _ in range(3)]

    assert [sorted(str(row.account) for row in claim) for claim in claims] == [["alice", "bob"], ["alice"] * 2, []]


def test_a_worker_finds_generations_behind_those_that_others_hold(order: PlaceOrder) -> None:
    for _ in range(dispatch_queue.CANDIDATES_PER_ROW + 2):
        order()

    claims = [dispatch_queue.claim_round_robin(Generation.objects.to_submit(), limit=1, seconds=30) for _ in range(6)]

    assert [len(claim) for claim in claims] == [1] * 6


@pytest.mark.parametrize("waiting, posts", [(0, 1), (1, 0)])
def test_a_new_order_is_sent_at_once_only_if_no_other_one_waits(
    patient_fal: Simulator, bob: Account, order: PlaceOrder, waiting: int, posts: int
) -> None:
    for _ in range(waiting):
        order()

    order(account=bob, send=True)

    assert len(patient_fal.log.posts()) == posts


def test_a_new_order_beyond_the_budget_is_left_to_the_workers(
    patient_fal: Simulator, order: PlaceOrder, set_budget: SetBudget
) -> None:
    set_budget(1, burst=1)

    sent, waiting = order(send=True), order(prompt="another", send=True)

    assert [sent.phase, waiting.phase] == [Phase.WAITING, Phase.QUEUED]
    assert len(patient_fal.log.posts()) == 1
