"""fal's bill: how it is stored, and every way in which it can differ from what was generated."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from generations import lifecycle
from generations.fal import ProviderReceipt
from generations.fal.platform import BillingEvent, UnitPrice
from generations.models import Generation, Output, Submission
from generations.ordering import price_book
from operations import provider_bill
from operations.models import Charge
from operations.provider_bill import Margin
from tests.fixtures.billing import Generate, bill_period, bill_report, read_bill

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("admin_key")]

PROMPT = {"prompt": "a cat"}


def findings() -> list[str]:
    read_bill()
    return [f"{finding.rule}: {finding.detail}" for finding in bill_report().findings]


# --- Storing the bill -----------------------------------------------------------------------------------------------


def test_a_line_is_stored_once_with_its_submission(generate: Generate) -> None:
    submission = generate(num_images=2).submissions.get()

    read_bill()
    read_bill()

    charge = Charge.objects.get()
    submission.refresh_from_db()
    assert (charge.submission, charge.units, charge.dollars) == (submission, Decimal(2), Decimal("0.006"))
    assert submission.billed_dollars == Decimal("0.006")


def test_a_line_that_fal_corrects_is_updated(generate: Generate) -> None:
    generate()
    read_bill()
    charge = Charge.objects.get()
    corrected = BillingEvent(
        request_id=charge.request_id,
        endpoint=charge.endpoint,
        billed_at=charge.billed_at,
        units=Decimal(7),
        dollars=Decimal("0.021"),
    )

    provider_bill.store([corrected])

    assert Charge.objects.get().dollars == Submission.objects.get().billed_dollars == Decimal("0.021")


def test_a_line_is_assigned_when_the_submission_has_learnt_its_request_id(generate: Generate) -> None:
    generate()
    request_id = Submission.objects.get().request_id
    Submission.objects.update(request_id=None)
    read_bill()
    assert Charge.objects.get().submission is None

    Submission.objects.update(request_id=request_id)
    read_bill()

    assert Charge.objects.get().submission == Submission.objects.get()


# --- Comparing it with the generations ------------------------------------------------------------------------------


def test_a_bill_of_the_list_price_gives_no_finding(generate: Generate) -> None:
    generate("flux-schnell", **PROMPT)
    generate("veo3.1-fast", **PROMPT)
    generate("eleven-v3", text="a short word")

    assert findings() == []


def test_another_price_is_drift(generate: Generate) -> None:
    generate(scenario="bill:double")

    assert findings() == ["drift: fal billed 0.006 USD, the catalogue expects 0.003 USD"]


def test_a_price_of_the_price_book_is_not_drift(generate: Generate) -> None:
    """The price book changes what customers pay, not what fal should bill."""
    price_book.write("flux-schnell", percent=500, actor="test")

    assert generate().captured == 15
    assert findings() == []


def test_files_that_fal_did_not_deliver_need_not_be_billed(generate: Generate) -> None:
    generate(scenario="outputs:fewer", num_images=4)

    assert findings() == []


def test_a_completed_generation_without_a_charge_is_found(generate: Generate) -> None:
    generate(scenario="bill:missing")

    assert findings() == ["unbilled: it is complete, and fal's bill does not contain it"]


def test_a_charge_without_a_generation_is_found(generate: Generate) -> None:
    generate(scenario="bill:foreign")

    (finding,) = findings()
    assert finding.startswith(
        "foreign: fal billed 0.04 USD for fal-ai/another-account/model, and no submission has this request id"
    )


def test_a_charge_for_a_failure_is_found(generate: Generate) -> None:
    generate(scenario="fail:content_policy_violation bill:failed")

    assert findings() == [
        "unearned: fal billed 0.003 USD for a generation that failed (content_policy) and was not charged"
    ]


def test_a_failure_without_a_charge_gives_no_finding(generate: Generate) -> None:
    generate(scenario="fail:internal_server_error")

    assert findings() == []


def test_a_second_job_of_an_order_is_surplus_and_not_drift(generate: Generate) -> None:
    generation = generate()
    second = Submission.objects.create(generation=generation, number=2, state=Submission.State.SENT)
    lifecycle.submitted(second, ProviderReceipt(request_id="twin", status_url="", response_url="", cancel_url=""))
    event = BillingEvent(
        request_id="twin", endpoint="x/y", billed_at=timezone.now(), units=Decimal(1), dollars=Decimal("0.003")
    )

    provider_bill.store([event])

    assert findings() == ["surplus: fal billed 0.003 USD for a second job of the same order"]


@pytest.mark.parametrize(
    "slug, delivered, detail",
    [
        (
            "flux-schnell",
            {"width": 128, "height": 256},
            "256 × 256 pixels were ordered, 128 × 256 were delivered",
        ),
        ("veo3.1-fast", {"duration_seconds": 4.0}, "8 s were ordered, 4 s were delivered"),
    ],
)
def test_another_size_than_ordered_is_found(
    generate: Generate, slug: str, delivered: dict[str, float], detail: str
) -> None:
    generation = generate(slug, **PROMPT)
    Output.objects.update(**delivered)

    role = generation.outputs.get().role
    assert findings() == [f"size: {role}: {detail}"]


def test_a_size_within_the_tolerance_gives_no_finding(generate: Generate) -> None:
    image, video = generate("flux-schnell", **PROMPT), generate("veo3.1-fast", **PROMPT)
    image.outputs.update(width=250, height=256)
    video.outputs.update(duration_seconds=8.4)

    assert findings() == []


def test_a_model_or_an_input_that_the_catalogue_no_longer_has_gives_no_finding(generate: Generate) -> None:
    generate()
    Generation.objects.update(model="flux-ancient")
    assert findings() == []

    Generation.objects.update(
        model="flux-schnell", arguments={"prompt": "a cat", "steps": 4}, list_price_millidollars=None
    )
    assert findings() == []


def test_only_the_time_span_is_compared(generate: Generate) -> None:
    generate(scenario="bill:missing")
    since, until = bill_period()
    bill = provider_bill.stored_bill(since=since, until=until)

    report = provider_bill.reconcile(bill, since=since - timedelta(days=1), until=since)

    assert (report.findings, report.margins) == ([], {})


# --- Margins --------------------------------------------------------------------------------------------------------


def test_the_margin_of_a_model_is_the_captured_credits_less_the_bill(generate: Generate) -> None:
    price_book.write("flux-schnell", percent=150, actor="test")
    generate(num_images=2)
    generate(scenario="fail:content_policy_violation bill:failed")
    read_bill()

    margin = bill_report().margins["flux-schnell"]

    assert margin == Margin(generations=2, captured=9, dollars=Decimal("0.009"))
    assert (margin.earned, margin.percent) == (Decimal(0), Decimal("0.0"))


def test_a_model_without_revenue_has_no_percentage() -> None:
    assert Margin(generations=1, captured=0, dollars=Decimal(1)).percent is None


# --- Without an admin key -------------------------------------------------------------------------------------------


def test_an_estimate_uses_the_units_of_the_results_and_the_list_prices(generate: Generate) -> None:
    generation = generate(num_images=2)
    since, until = bill_period()
    price = UnitPrice(endpoint=generation.endpoint, dollars=Decimal("0.004"), unit="megapixels")
    bill = provider_bill.estimated_bill({generation.endpoint: price}, since=since)

    report = provider_bill.reconcile(bill, since=since, until=until)

    assert [finding.rule for finding in report.findings] == ["drift"]
    assert report.margins["flux-schnell"].dollars == Decimal("0.008")
