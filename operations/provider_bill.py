"""What fal has billed, and whether it agrees with what was generated.

There are two sources: a header of every result counts fal's units (`provider.billed_units` stores them), and with an
admin key, fal's bill itself can be read. `manage.py reconcile_bill` calls this module, which is the only writer of
charges. It moves no credits: what a customer pays is decided by the lifecycle, whatever fal bills.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from uuid import UUID

from django.db.models import OuterRef, Prefetch, Subquery, Sum
from pydantic import ValidationError

from credits.audit import Finding
from generations.catalogue import MODELS
from generations.catalogue.prices import CREDITS_PER_DOLLAR
from generations.fal.platform import BillingEvent, UnitPrice
from generations.models import Generation, Output, Phase, Status, Submission
from operations.models import Charge

# What a comparison can find; docs/models.md explains each.
RULES = ("drift", "unbilled", "foreign", "unearned", "surplus", "size")
# Prices are rounded to whole credits, so a smaller difference is none.
DRIFT_CREDITS_MIN = 1
# Models keep to a requested size approximately: 1366 x 768 for 16:9 at one megapixel.
SIZE_TOLERANCE_PERCENT = 10
DURATION_TOLERANCE_SECONDS = 1.0
# fal bills a job when it ends, and its files may be stored much later. So the bill is read from this much earlier on.
BILLED_EARLIER_MAX = timedelta(days=1)
CHUNK_ROWS = 500
# fal's bill has at most six decimals; the database stores nine.
PLACES = Decimal(1).scaleb(-9)


# --- Storing the bill -----------------------------------------------------------------------------------------------


def store(events: Iterable[BillingEvent]) -> int:
    """Store lines of fal's bill. A line that was stored before is updated, so reading the bill again is harmless.

    Returns:
        How many lines were read.
    """
    iterator, count = iter(events), 0
    while chunk := list(islice(iterator, CHUNK_ROWS)):
        # PostgreSQL refuses to update a row twice in one statement, so of repeated lines the last one counts.
        lines = {(event.request_id, event.endpoint, event.billed_at): event for event in chunk}
        Charge.objects.bulk_create(
            [
                Charge(
                    request_id=event.request_id,
                    endpoint=event.endpoint,
                    billed_at=event.billed_at,
                    units=event.units.quantize(PLACES),
                    dollars=event.dollars.quantize(PLACES),
                )
                for event in lines.values()
            ],
            update_conflicts=True,
            unique_fields=["request_id", "endpoint", "billed_at"],
            update_fields=["units", "dollars"],
        )
        # Earlier lines as well: a submission may have learnt its request id after its job was billed.
        request_ids = [event.request_id for event in chunk]
        owner = Submission.objects.filter(request_id=OuterRef("request_id")).values("pk")[:1]
        Charge.objects.filter(request_id__in=request_ids, submission=None).update(submission=Subquery(owner))
        charges = Charge.objects.filter(submission=OuterRef("pk")).order_by().values("submission")
        total = charges.annotate(total=Sum("dollars")).values("total")
        Submission.objects.filter(request_id__in=request_ids).update(billed_dollars=Subquery(total))
        count += len(chunk)
    return count


# --- Comparing it with the generations ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What fal billed for each submission."""

    dollars: Mapping[UUID, Decimal]
    """US dollars by the id of the submission."""
    foreign: tuple[Charge, ...] = ()
    """Charges that belong to no submission of this installation."""


@dataclass(kw_only=True)
class Margin:
    """What the generations of one model earned and cost."""

    generations: int = 0
    captured: int = 0
    """Credits charged to customers."""
    dollars: Decimal = Decimal(0)
    """US dollars billed by fal."""

    @property
    def earned(self) -> Decimal:
        """US dollars: the captured credits less the bill."""
        return Decimal(self.captured) / CREDITS_PER_DOLLAR - self.dollars

    @property
    def percent(self) -> Decimal | None:
        """The earned share of what was captured. None if nothing was."""
        if not self.captured:
            return None
        return (self.earned * 100 * CREDITS_PER_DOLLAR / self.captured).quantize(Decimal("0.1"))


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of a comparison."""

    findings: list[Finding] = field(default_factory=list)
    margins: dict[str, Margin] = field(default_factory=dict)
    """By the slug of the model."""


def stored_bill(*, since: datetime, until: datetime) -> Bill:
    """Return the bill for what ended in a time span, from the lines that `store` has stored."""
    lines = Charge.objects.filter(submission__isnull=False, billed_at__gte=since - BILLED_EARLIER_MAX)
    sums = lines.order_by().values_list("submission").annotate(Sum("dollars"))
    foreign = Charge.objects.filter(submission=None, billed_at__gte=since, billed_at__lt=until).order_by("billed_at")
    return Bill(dollars=dict(sums), foreign=tuple(foreign))


def estimated_bill(prices: Mapping[str, UnitPrice], *, since: datetime) -> Bill:
    """Return an estimate without fal's bill: the units of each result at today's list price, by endpoint.

    It cannot contain foreign charges.
    """
    known = Submission.objects.filter(billable_units__isnull=False, created_at__gte=since - BILLED_EARLIER_MAX)
    rows = known.values_list("pk", "generation__endpoint", "billable_units")
    with_prices = ((pk, units, prices.get(endpoint)) for pk, endpoint, units in rows)
    return Bill(dollars={pk: units * price.dollars for pk, units, price in with_prices if units is not None and price})


def reconcile(bill: Bill, *, since: datetime, until: datetime) -> Report:
    """Compare every generation that ended in a time span with the bill. Only reads.

    Args:
        bill: Made for the same time span.
        since: The beginning of the span.
        until: The end of it, exclusive.
    """
    report = Report()
    for charge in bill.foreign:
        detail = f"fal billed {_usd(charge.dollars)} for {charge.endpoint}, and no submission has this request id"
        report.findings.append(Finding(rule="foreign", subject=f"request {charge.request_id}", detail=detail))
    ended = Generation.objects.filter(phase=Phase.DONE, finished_at__gte=since, finished_at__lt=until).order_by("id")
    # A submission without a request id has no job at fal that could be billed.
    accepted = Prefetch("submissions", Submission.objects.filter(request_id__isnull=False))
    for generation in ended.prefetch_related(accepted, "outputs").iterator(chunk_size=CHUNK_ROWS):
        submissions = list(generation.submissions.all())
        costs = {submission: bill.dollars[submission.pk] for submission in submissions if submission.pk in bill.dollars}
        margin = report.margins.setdefault(generation.model, Margin())
        margin.generations += 1
        margin.captured += generation.captured
        margin.dollars += sum(costs.values(), Decimal(0))
        for rule, detail in _differences(generation, submissions, costs):
            report.findings.append(Finding(rule=rule, subject=f"generation {generation.pk}", detail=detail))
    return report


def _differences(
    generation: Generation, submissions: Sequence[Submission], costs: Mapping[Submission, Decimal]
) -> Iterator[tuple[str, str]]:
    """Yield the rule and the detail of each difference between a generation and the bill."""
    surplus = sum((cost for each, cost in costs.items() if each.state == Submission.State.SURPLUS), Decimal(0))
    dollars = sum(costs.values(), Decimal(0)) - surplus
    if surplus:
        yield "surplus", f"fal billed {_usd(surplus)} for a second job of the same order"
    if generation.status == Status.FAILED:
        if dollars:
            reason = f"{_usd(dollars)} for a generation that failed ({generation.failure_code}) and was not charged"
            yield "unearned", f"fal billed {reason}"
        return
    if submissions and not costs:
        yield "unbilled", "it is complete, and fal's bill does not contain it"
    # The list price is empty for generations that were ordered before it was recorded.
    elif costs and generation.list_price_millidollars is not None:
        # fal bills the files that it made, and the list price is for all that were ordered.
        made = sum(output.counts for output in generation.outputs.all())
        share = Fraction(min(made, generation.files_expected), generation.files_expected)
        expected = generation.list_price_millidollars * share
        if abs(Fraction(dollars) * CREDITS_PER_DOLLAR - expected) >= DRIFT_CREDITS_MIN:
            listed = Decimal(expected.numerator) / expected.denominator / CREDITS_PER_DOLLAR
            yield "drift", f"fal billed {_usd(dollars)}, the catalogue expects {_usd(listed)}"
    for role, detail in _size_differences(generation):
        yield "size", f"{role}: {detail}"


def _size_differences(generation: Generation) -> Iterator[tuple[str, str]]:
    """Yield the role of each stored file that has another size than was ordered: pixels of images, seconds of media."""
    model = MODELS.get(generation.model)
    try:
        expected = model.expected_files(model.inputs.model_validate(generation.arguments)) if model else []
    except ValidationError:
        # It was ordered with inputs that the model does not accept any more, so the ordered size is unknown.
        return
    by_role = {file.role: file for file in expected}
    for output in generation.outputs.all():
        ordered = by_role.get(output.role)
        if ordered is None or output.state != Output.State.STORED:
            continue
        if ordered.size is not None and output.width is not None and output.height is not None:
            pixels, delivered = ordered.size.width * ordered.size.height, output.width * output.height
            if abs(pixels - delivered) * 100 > pixels * SIZE_TOLERANCE_PERCENT:
                size = f"{ordered.size.width} × {ordered.size.height} pixels"
                yield output.role, f"{size} were ordered, {output.width} × {output.height} were delivered"
                continue
        if ordered.duration_seconds is not None and output.duration_seconds is not None:
            tolerance = max(DURATION_TOLERANCE_SECONDS, ordered.duration_seconds * SIZE_TOLERANCE_PERCENT / 100)
            if abs(ordered.duration_seconds - output.duration_seconds) > tolerance:
                duration = f"{ordered.duration_seconds:g} s"
                yield output.role, f"{duration} were ordered, {output.duration_seconds:g} s were delivered"


def _usd(dollars: Decimal) -> str:
    return f"{dollars.quantize(Decimal('0.000001')).normalize():f} USD"
