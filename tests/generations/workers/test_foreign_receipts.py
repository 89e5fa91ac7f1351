"""A receipt that names the job of another order: that order's file is not delivered, and its job is not cancelled.

Case A21 of docs/failure-modes.md. `tests/generations/fal/test_receipts.py` tests each URL that is refused.
"""

from __future__ import annotations

import pytest

from generations import lifecycle
from generations.fal import FalClient, ProviderReceipt
from generations.models import CancelledBy, FailureCode, Generation, Status, Submission
from generations.workers import surplus_canceller
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def believed_by_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: receipts are compared with fal's hosts only."""

    def checked(fal: FalClient, endpoint: str, receipt: ProviderReceipt) -> ProviderReceipt:
        urls = (receipt.status_url, receipt.response_url, receipt.cancel_url)
        return receipt if all(map(fal._is_fals_own, urls)) else fal.receipt_for(endpoint, receipt.request_id)

    monkeypatch.setattr(FalClient, "checked_receipt", checked)


def owner_of_file(generation: Generation, fal: Simulator) -> str:
    """The request that fal made the generation's only file for."""
    output = generation.outputs.get()
    return next(file.request_id for file in fal.log.files() if file.sha256 == output.sha256)


def deliver_two(fal: Simulator, order: PlaceOrder, work: Work) -> tuple[Generation, str]:
    """Order twice; the receipt of the second order names the job of the first. Returns it, and its own request."""
    work.until_done(order(prompt="a secret"))
    fal.script("garbage200:other_request", "callback:lost")
    second = work.until_done(order(prompt="a cat"))
    return second, fal.log.accepted()[1].request_id


def cancel_second(fal: Simulator, order: PlaceOrder, work: Work) -> list[bool]:
    """Cancel the second of two orders that run. Returns which of fal's jobs were cancelled."""
    fal.always("hold", "callback:lost", "cancel:ok")
    order(prompt="a secret")
    work.submit()
    fal.script("garbage200:other_request")
    second = order(prompt="a cat")
    work.submit()
    lifecycle.cancel_asked(second, by=CancelledBy.CUSTOMER, actor="alice")

    assert work.until_done(second).failure_code == FailureCode.CANCELLED
    return [request.cancelled for request in fal.log.accepted()]


def test_a21_the_file_of_another_order_is_not_delivered(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation, own_request = deliver_two(fal, order, work)

    assert generation.status == Status.COMPLETED
    assert owner_of_file(generation, fal) == own_request


@pytest.mark.usefixtures("believed_by_host")
def test_a_comparison_of_the_host_alone_delivers_the_file_of_another_order(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation, own_request = deliver_two(fal, order, work)

    assert generation.status == Status.COMPLETED
    assert owner_of_file(generation, fal) != own_request


def test_a21_the_job_of_another_order_is_not_cancelled(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    assert cancel_second(fal, order, work) == [False, True]


@pytest.mark.usefixtures("believed_by_host")
def test_a_comparison_of_the_host_alone_cancels_the_job_of_another_order(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    assert cancel_second(fal, order, work) == [True, False]


# --- URLs that an older version has stored ---


def store_urls_of_first(generation: Generation) -> None:
    """Give the generation the stored URLs of the first submission of all."""
    first = Submission.objects.order_by("created_at")[0]
    generation.submissions.update(
        status_url=first.status_url, response_url=first.response_url, cancel_url=first.cancel_url
    )


def test_a21_stored_urls_of_another_order_are_not_followed(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    work.until_done(order(prompt="a secret"))
    fal.script("callback:lost")
    second = order(prompt="a cat")
    work.submit()
    store_urls_of_first(second)

    generation = work.until_done(second)

    assert owner_of_file(generation, fal) == fal.log.accepted()[1].request_id


def test_a21_a_surplus_job_is_cancelled_by_its_own_url(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.always("hold", "callback:lost", "cancel:ok")
    order(prompt="a secret")
    work.submit()
    second = order(prompt="a cat")
    work.submit()
    store_urls_of_first(second)
    second.submissions.update(state=Submission.State.SURPLUS)

    assert surplus_canceller.run_once(limit=10) == 1
    assert [request.cancelled for request in fal.log.accepted()] == [False, True]
