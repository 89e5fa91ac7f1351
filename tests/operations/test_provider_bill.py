"""What fal billed, kept beside what was ordered; and every way in which the two can differ."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import time_machine
from django.utils import timezone

from generations import lifecycle
from generations.fal import ProviderReceipt
from generations.fal.platform import BillingEvent, UnitPrice
from generations.models import Generation, Output, Submission
from generations.ordering import price_book
from generations.provider import billed_units
from operations import provider_bill
from operations.models import Charge
from operations.provider_bill import Margin
from simulator import Simulator
from tests.fixtures.billing import Making, read_the_bill, reconciled, span
from tests.fixtures.orders import Ordering
from tests.helpers.background_work import Work

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("admin_key")]


PROMPT = {"prompt": "a cat"}


def findings() -> list[str]:
    read_the_bill()
    return [f"{finding.rule}: {finding.detail}" for finding in reconciled().findings]


def as_if_called_back() -> None:
    """A callback has no header: nothing is known of units."""
    Submission.objects.update(billable_units=None, units_due_at=timezone.now())


def units() -> Decimal | None:
    return Submission.objects.get().billable_units


# --- Units, by the results ---


def test_a_result_that_was_fetched_has_told_its_units(make: Making) -> None:
    make(num_images=2)

    assert units() == 2
    assert billed_units.run_once(limit=10) == 0


def test_a_job_that_called_back_is_asked_for_its_units_once(make: Making) -> None:
    make(num_images=2)
    as_if_called_back()

    assert [billed_units.run_once(limit=10), billed_units.run_once(limit=10)] == [1, 0]
    assert units() == 2


def test_units_are_not_asked_for_while_it_runs(fal: Simulator, order: Ordering, work: Work) -> None:
    fal.script("hold", "callback:lost")
    order()
    work.submit()

    assert billed_units.run_once(limit=10) == 0


def test_a_result_that_is_gone_is_not_asked_for_again(make: Making, fal: Simulator) -> None:
    make()
    as_if_called_back()
    fal.log.clear()

    assert [billed_units.run_once(limit=10), billed_units.run_once(limit=10)] == [1, 0]
    assert (units(), Submission.objects.get().units_due_at) == (None, None)


def test_a_fal_that_is_away_is_asked_again_within_the_hour(make: Making, settings: Settings) -> None:
    make()
    as_if_called_back()
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    billed_units.run_once(limit=10)

    due = Submission.objects.get().units_due_at
    assert due is not None
    assert timedelta(0) < due - timezone.now() <= billed_units.RETRY


def test_of_two_workers_one_asks(make: Making, settings: Settings) -> None:
    """The other has read the row before, and finds it taken: with fal away he would have put it off."""
    make()
    as_if_called_back()
    read_before = Submission.objects.select_related("generation").get()
    billed_units.run_once(limit=10)
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    billed_units._ask(read_before)

    assert units() == 1
    assert Submission.objects.get().units_due_at is None


def test_without_its_guard_a_known_row_would_be_asked_about_again(make: Making) -> None:
    """Negative control: what the second worker writes when it does not look whether the row is still as it was."""
    make()
    as_if_called_back()
    read_before = Submission.objects.get()
    billed_units.run_once(limit=10)

    Submission.objects.filter(pk=read_before.pk).update(units_due_at=timezone.now())

    assert billed_units.run_once(limit=10) == 1


def test_after_the_hour_its_units_will_never_be_known(make: Making, settings: Settings) -> None:
    make()
    as_if_called_back()
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    with time_machine.travel(timezone.now() + 2 * billed_units.RESULT_KEPT):
        billed_units.run_once(limit=10)

    assert Submission.objects.get().units_due_at is None


# --- The bill, line by line ---


def test_the_bill_is_kept_by_attempt_however_often_it_is_read(make: Making) -> None:
    attempt = make(num_images=2).submissions.get()

    read_the_bill()
    read_the_bill()

    charge = Charge.objects.get()
    attempt.refresh_from_db()
    assert (charge.submission, charge.units, charge.dollars) == (attempt, Decimal(2), Decimal("0.006"))
    assert attempt.billed_dollars == Decimal("0.006")


def test_a_line_that_fal_corrects_is_corrected(make: Making) -> None:
    make()
    read_the_bill()
    charge = Charge.objects.get()
    corrected = BillingEvent(
        request_id=charge.request_id,
        endpoint=charge.endpoint,
        billed_at=charge.billed_at,
        units=Decimal(7),
        dollars=Decimal("0.021"),
    )

    provider_bill.keep([corrected])

    assert Charge.objects.get().dollars == Submission.objects.get().billed_dollars == Decimal("0.021")


def test_a_line_finds_its_attempt_when_the_attempt_has_learnt_its_request(make: Making) -> None:
    make()
    request_id = Submission.objects.get().request_id
    Submission.objects.update(request_id=None)
    read_the_bill()
    assert Charge.objects.get().submission is None

    Submission.objects.update(request_id=request_id)
    read_the_bill()

    assert Charge.objects.get().submission == Submission.objects.get()


# --- Compared ---


@pytest.mark.parametrize("slug", ["flux-schnell", "veo3.1-fast", "eleven-v3"])
def test_what_is_billed_as_declared_gives_no_finding(make: Making, slug: str) -> None:
    make(slug, **({"text": "a short word"} if slug == "eleven-v3" else PROMPT))

    assert findings() == []


def test_what_is_billed_otherwise_than_declared_is_drift(make: Making) -> None:
    make(scenario="bill:double")

    assert findings() == ["drift: fal billed 0.006 USD, the catalogue expects 0.003 USD"]


def test_an_entry_of_the_price_book_is_no_drift(make: Making) -> None:
    """It changes what is asked of customers, not what fal should bill."""
    price_book.write("flux-schnell", percent=500, actor="test")

    assert make().captured == 15
    assert findings() == []


def test_what_fal_did_not_deliver_it_need_not_bill(make: Making) -> None:
    make(scenario="outputs:fewer", num_images=4)

    assert findings() == []


def test_a_completed_generation_without_a_charge_is_named(make: Making) -> None:
    make(scenario="bill:missing")

    assert findings() == ["unbilled: it is complete, and fal's bill does not know it"]


def test_a_charge_without_a_generation_is_named(make: Making) -> None:
    make(scenario="bill:foreign")

    (said,) = findings()
    assert said.startswith(
        "foreign: billed 0.04 USD for fal-ai/another-account/model, and no generation has that request"
    )


def test_a_failure_that_is_billed_is_named(make: Making) -> None:
    make(scenario="fail:content_policy_violation bill:failed")

    assert findings() == ["unearned: fal billed 0.003 USD for what failed (content_policy) and was not charged"]


def test_a_failure_that_is_free_is_none(make: Making) -> None:
    make(scenario="fail:internal_server_error")

    assert findings() == []


def test_a_second_job_of_one_order_is_named_and_is_no_drift(make: Making) -> None:
    generation = make()
    again = Submission.objects.create(generation=generation, number=2, state=Submission.State.SENT)
    lifecycle.submitted(again, ProviderReceipt(request_id="twin", status_url="", response_url="", cancel_url=""))
    twin = BillingEvent(
        request_id="twin", endpoint="x/y", billed_at=timezone.now(), units=Decimal(1), dollars=Decimal("0.003")
    )

    provider_bill.keep([twin])

    assert findings() == ["surplus: fal billed 0.003 USD for a second job of the same order"]


@pytest.mark.parametrize(
    "slug, came, said",
    [
        ("flux-schnell", {"width": 128, "height": 256}, "256 × 256 pixels were asked for, 128 × 256 came"),
        ("veo3.1-fast", {"duration_seconds": 4.0}, "8 s were asked for, 4 s came"),
    ],
)
def test_what_came_smaller_than_it_was_asked_for_is_named(
    make: Making, slug: str, came: dict[str, float], said: str
) -> None:
    generation = make(slug, **PROMPT)
    Output.objects.update(**came)

    role = generation.outputs.get().role
    assert findings() == [f"size: {role}: {said}"]


@pytest.mark.parametrize(
    "slug, came", [("flux-schnell", {"width": 250, "height": 256}), ("veo3.1-fast", {"duration_seconds": 8.4})]
)
def test_a_little_more_or_less_is_no_finding(make: Making, slug: str, came: dict[str, float]) -> None:
    make(slug, **PROMPT)
    Output.objects.update(**came)

    assert findings() == []


def test_an_order_of_an_older_declaration_is_compared_as_far_as_it_goes(make: Making) -> None:
    make()
    Generation.objects.update(model="flux-ancient")
    assert findings() == []

    Generation.objects.update(
        model="flux-schnell", arguments={"prompt": "a cat", "steps": 4}, list_price_millidollars=None
    )
    assert findings() == []


def test_only_what_ended_in_that_time_is_looked_at(make: Making) -> None:
    make(scenario="bill:missing")
    since, until = span()

    before = provider_bill.reconcile(
        provider_bill.billed(since=since, until=until), since=since - timedelta(days=1), until=since
    )

    assert (before.findings, before.margins) == ([], {})


# --- Margins ---


def test_the_margin_of_a_model_is_what_came_in_less_what_was_billed(make: Making) -> None:
    price_book.write("flux-schnell", percent=150, actor="test")
    make(num_images=2)
    make(scenario="fail:content_policy_violation bill:failed")
    read_the_bill()

    margin = reconciled().margins["flux-schnell"]

    assert margin == Margin(orders=2, captured=9, dollars=Decimal("0.009"))
    assert (margin.earned, margin.percent) == (Decimal(0), Decimal("0.0"))


def test_what_brought_nothing_in_has_no_percentage() -> None:
    assert Margin(orders=1, captured=0, dollars=Decimal(1)).percent is None


# --- Without an admin key ---


def test_without_the_bill_units_and_list_prices_stand_for_it(make: Making) -> None:
    generation = make(num_images=2)
    since, until = span()
    listed = {generation.endpoint: UnitPrice(endpoint=generation.endpoint, dollars=Decimal("0.004"), unit="megapixels")}

    report = provider_bill.reconcile(provider_bill.estimated(listed, since=since), since=since, until=until)

    assert [finding.rule for finding in report.findings] == ["drift"]
    assert report.margins["flux-schnell"].dollars == Decimal("0.008")
