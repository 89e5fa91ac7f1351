"""fal names one request id for two orders. Case A33 of docs/failure-modes.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import F

from credits.models import Account
from generations import lifecycle
from generations.fal import ProviderReceipt
from generations.models import FailureCode, Generation, Phase, Status, Submission
from generations.provider import clients
from generations.workers import reconciler
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.outages import let_outage_pass, let_patience_end
from tests.helpers.scripted_servers import Server, respond, serving
from tests.helpers.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

RECEIPT = {"request_id": "job", "status_url": "", "response_url": "", "cancel_url": ""}


@pytest.fixture
def repetitive(settings) -> Iterator[Server]:
    """A fal that answers every submission with the same request id."""
    body = json.dumps(RECEIPT).encode()
    with serving(respond("200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", body=body)) as it:
        settings.FAL_QUEUE_URL = it.url
        yield it
        # While the settings name it: its connections would remain open.
        clients.close()


def states() -> list[str]:
    return sorted(Submission.objects.values_list("state", flat=True))


def test_a33_one_request_id_for_two_orders_is_disputed_and_nothing_is_posted_again(
    repetitive: Server, order: PlaceOrder, work: Work
) -> None:
    first, second = order(prompt="one", send=True), order(prompt="two", send=True)
    posts = repetitive.connections
    Submission.objects.update(sent_at=F("sent_at") - timedelta(minutes=10))

    work.reconcile()
    work.submit()

    assert (states(), repetitive.connections - posts <= 2) == (["accepted", "disputed"], True)
    assert Submission.objects.count() == 2
    assert [each.events.filter(fact="disputed").count() for each in (first, second)] == [0, 1]


@pytest.mark.only_postgresql
def test_a33_of_concurrent_orders_with_one_request_id_one_is_disputed_and_both_are_taken(
    repetitive: Server, alice: Account, order: PlaceOrder
) -> None:
    # The threads share the client that this makes.
    order(prompt="the first", send=True)
    generations = at_once(4, lambda number: order(prompt=f"cat {number}", send=True))

    assert len(generations) == Generation.objects.count() - 1 == 4
    assert states() == ["accepted", *["disputed"] * 4]


@pytest.mark.only_postgresql
def test_a33_receipts_with_one_request_id_that_are_recorded_at_once_raise_no_error(
    alice: Account, order: PlaceOrder
) -> None:
    sent = [lifecycle.submitting(order(prompt=f"cat {number}")) for number in range(4)]
    receipt = ProviderReceipt(**RECEIPT)
    # As a worker has them, which reads the row again under its lock.
    submissions = [Submission.objects.get(pk=each.pk) for each in sent if each]

    recorded = at_once(4, lambda number: lifecycle.submitted(submissions[number], receipt))

    assert sorted(recorded) == [False, False, False, True]
    assert states() == ["accepted", "disputed", "disputed", "disputed"]


@pytest.fixture
def disputed(fal: Simulator, callbacks: CallbackSender, order: PlaceOrder, work: Work) -> Generation:
    """A generation whose receipt named the request of another one."""
    fal.script("hold", "callback:lost")
    other = order(prompt="another")
    work.submit()
    generation = order()
    submission = lifecycle.submitting(generation)
    assert submission is not None
    request_id = str(other.submissions.get().request_id)
    lifecycle.submitted(submission, ProviderReceipt(**{**RECEIPT, "request_id": request_id}))
    return generation


def test_a33_the_callback_of_a_disputed_submission_names_its_job(
    disputed: Generation, fal: Simulator, callbacks: CallbackSender, work: Work
) -> None:
    own = clients.fal().submit(disputed.endpoint, disputed.arguments, webhook_url="", start_timeout_seconds=60)

    assert callbacks.send(disputed.submissions.get(), request_id=own.request_id) == 200

    assert work.until_done(disputed).status == Status.COMPLETED


def test_a33_without_a_callback_it_fails_after_its_deadline_and_costs_nothing(
    disputed: Generation, fal: Simulator, alice: Account, work: Work
) -> None:
    let_outage_pass(timedelta(hours=2), fal)
    work.reconcile()
    assert Generation.objects.get(pk=disputed.pk).phase == Phase.UNKNOWN
    let_patience_end(reconciler.UNKNOWN_PATIENCE)

    work.reconcile()

    disputed.refresh_from_db()
    assert (disputed.failure_code, disputed.captured) == (FailureCode.SUBMISSION_UNKNOWN, 0)
    assert len(fal.log.accepted()) == 1
