"""What fal has billed, kept beside what was ordered; and whether the two agree.

Two sources: a header of every result counts fal's units, and with an admin key fal's bill itself can be read. The only
writer of both. Nothing here moves a credit: what a customer pays is settled by the lifecycle, whatever fal charges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from uuid import UUID

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery, Sum
from pydantic import ValidationError

from credits.audit import Finding
from generations.catalogue import MODELS, ExpectedFile
from generations.catalogue.prices import CREDITS_PER_DOLLAR
from generations.fal.platform import BillingEvent, UnitPrice
from generations.models import Generation, Output, Phase, Status, Submission
from operations.models import Charge

# What a comparison may find; docs/models.md explains each.
RULES = ("drift", "unbilled", "foreign", "unearned", "surplus", "size")
# A price in whole credits is rounded; by less than one it is the same price.
DRIFT_CREDITS_MIN = 1
# Models keep to a size roughly: 1366 x 768 for sixteen to nine of a megapixel.
SIZE_TOLERANCE_PERCENT = 10
DURATION_TOLERANCE_SECONDS = 1.0
# A result may be billed a while before its files are stored.
EARLIER = timedelta(days=1)
CHUNK = 500
# Units of a bill have six decimals at most; a database keeps nine.
PLACES = Decimal(1).scaleb(-9)


# --- Keeping ---


def keep(events: Iterable[BillingEvent]) -> int:
    """Lines of the bill, each once, however often it is read. How many were read."""
    rest, count = iter(events), 0
    while chunk := list(islice(rest, CHUNK)):
        rows = {(event.request_id, event.endpoint, event.billed_at): event for event in chunk}
        Charge.objects.bulk_create(
            map(_charge, rows.values()),
            update_conflicts=True,
            unique_fields=["request_id", "endpoint", "billed_at"],
            update_fields=["units", "dollars"],
        )
        _assign([event.request_id for event in chunk])
        count += len(chunk)
    return count


def _charge(event: BillingEvent) -> Charge:
    return Charge(
        request_id=event.request_id,
        endpoint=event.endpoint,
        billed_at=event.billed_at,
        units=event.units.quantize(PLACES),
        dollars=event.dollars.quantize(PLACES),
    )


def _assign(request_ids: list[str]) -> None:
    """Whose they are. An attempt may have learnt its request's id after it was billed."""
    owner = Submission.objects.filter(request_id=OuterRef("request_id")).values("pk")[:1]
    Charge.objects.filter(request_id__in=request_ids, submission=None).update(submission=Subquery(owner))
    billed = Charge.objects.filter(submission=OuterRef("pk")).order_by().values("submission")
    total = billed.annotate(total=Sum("dollars")).values("total")
    Submission.objects.filter(request_id__in=request_ids).update(billed_dollars=Subquery(total))


# --- Comparing ---


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What each attempt cost, in US dollars."""

    dollars: Mapping[UUID, Decimal]
    foreign: tuple[Charge, ...] = ()
    """Lines that belong to nothing of ours."""


@dataclass(kw_only=True)
class Margin:
    """What a model brought in and what it cost."""

    orders: int = 0
    captured: int = 0
    """Credits."""
    dollars: Decimal = Decimal(0)
    """Billed by fal."""

    @property
    def earned(self) -> Decimal:
        """US dollars."""
        return Decimal(self.captured) / CREDITS_PER_DOLLAR - self.dollars

    @property
    def percent(self) -> Decimal | None:
        """Of what came in."""
        return (
            (self.earned * 100 * CREDITS_PER_DOLLAR / self.captured).quantize(Decimal("0.1")) if self.captured else None
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    findings: list[Finding] = field(default_factory=list)
    margins: dict[str, Margin] = field(default_factory=dict)
    """By model."""


def billed(*, since: datetime, until: datetime) -> Bill:
    """By the lines that `keep` has kept."""
    lines = Charge.objects.filter(submission__isnull=False, billed_at__gte=since - EARLIER)
    sums = lines.order_by().values_list("submission").annotate(Sum("dollars"))
    foreign = Charge.objects.filter(submission=None, billed_at__gte=since, billed_at__lt=until).order_by("billed_at")
    return Bill(dollars=dict(sums), foreign=tuple(foreign))


def estimated(prices: Mapping[str, UnitPrice], *, since: datetime) -> Bill:
    """Without fal's bill: the units of each result at today's list price. Foreign charges cannot be seen."""
    known = Submission.objects.filter(billable_units__isnull=False, created_at__gte=since - EARLIER)
    rows = known.values_list("pk", "generation__endpoint", "billable_units")
    known_prices = ((key, units, prices.get(name)) for key, name, units in rows)
    return Bill(
        dollars={key: units * price.dollars for key, units, price in known_prices if units is not None and price}
    )


def reconcile(bill: Bill, *, since: datetime, until: datetime) -> Report:
    """Every generation that ended in that time, compared with the bill. Reads only."""
    report = Report()
    for charge in bill.foreign:
        detail = f"billed {_usd(charge.dollars)} for {charge.endpoint}, and no generation has that request"
        report.findings.append(Finding(rule="foreign", subject=f"request {charge.request_id}", detail=detail))
    for generation in _ended(since, until).iterator(chunk_size=CHUNK):
        _compare(generation, bill, report)
    return report


def _ended(since: datetime, until: datetime) -> QuerySet[Generation]:
    rows = Generation.objects.filter(phase=Phase.DONE, finished_at__gte=since, finished_at__lt=until)
    attempts = Prefetch("submissions", Submission.objects.filter(request_id__isnull=False))
    return rows.order_by("id").prefetch_related(attempts, "outputs")


def _compare(generation: Generation, bill: Bill, report: Report) -> None:
    attempts = list(generation.submissions.all())
    costs = {attempt: bill.dollars[attempt.pk] for attempt in attempts if attempt.pk in bill.dollars}
    margin = report.margins.setdefault(generation.model, Margin())
    margin.orders += 1
    margin.captured += generation.captured
    margin.dollars += sum(costs.values(), Decimal(0))
    for rule, detail in _differences(generation, attempts, costs):
        report.findings.append(Finding(rule=rule, subject=f"generation {generation.pk}", detail=detail))


def _differences(
    generation: Generation, attempts: list[Submission], costs: Mapping[Submission, Decimal]
) -> Iterator[tuple[str, str]]:
    surplus = sum((c for a, c in costs.items() if a.state == Submission.State.SURPLUS), Decimal(0))
    main = sum(costs.values(), Decimal(0)) - surplus
    if surplus:
        yield "surplus", f"fal billed {_usd(surplus)} for a second job of the same order"
    if generation.status == Status.FAILED:
        if main:
            yield "unearned", f"fal billed {_usd(main)} for what failed ({generation.failure_code}) and was not charged"
        return
    if attempts and not costs:
        yield "unbilled", "it is complete, and fal's bill does not know it"
    elif costs:
        yield from _drift(generation, main)
    yield from _sizes(generation)


def _drift(generation: Generation, dollars: Decimal) -> Iterator[tuple[str, str]]:
    if generation.list_price_millidollars is None:
        return
    made = sum(output.counts for output in generation.outputs.all())
    share = Fraction(min(made, generation.files_expected), generation.files_expected)
    expected = generation.list_price_millidollars * share
    if abs(Fraction(dollars) * CREDITS_PER_DOLLAR - expected) >= DRIFT_CREDITS_MIN:
        listed = Decimal(expected.numerator) / expected.denominator / CREDITS_PER_DOLLAR
        yield "drift", f"fal billed {_usd(dollars)}, the catalogue expects {_usd(listed)}"


def _sizes(generation: Generation) -> Iterator[tuple[str, str]]:
    """What was asked for and what came, where both are known: pixels of pictures, seconds of sound and film."""
    expected = _expected(generation)
    for output in generation.outputs.all():
        asked = expected.get(output.role)
        if asked is None or output.state != Output.State.STORED:
            continue
        if (difference := _other_pixels(asked, output) or _other_duration(asked, output)) is not None:
            yield "size", f"{output.role}: {difference}"


def _expected(generation: Generation) -> dict[str, ExpectedFile]:
    model = MODELS.get(generation.model)
    if model is None:
        return {}
    try:
        inputs = model.inputs.model_validate(generation.arguments)
    except ValidationError:
        # Ordered under an older declaration: nobody can say any more what it asked for.
        return {}
    return {file.role: file for file in model.expected_files(inputs)}


def _other_pixels(asked: ExpectedFile, output: Output) -> str | None:
    if asked.size is None or output.width is None or output.height is None:
        return None
    wanted, came = asked.size.width * asked.size.height, output.width * output.height
    if abs(wanted - came) * 100 <= wanted * SIZE_TOLERANCE_PERCENT:
        return None
    return f"{asked.size.width} × {asked.size.height} pixels were asked for, {output.width} × {output.height} came"


def _other_duration(asked: ExpectedFile, output: Output) -> str | None:
    if asked.duration_seconds is None or output.duration_seconds is None:
        return None
    tolerance = max(DURATION_TOLERANCE_SECONDS, asked.duration_seconds * SIZE_TOLERANCE_PERCENT / 100)
    if abs(asked.duration_seconds - output.duration_seconds) <= tolerance:
        return None
    return f"{asked.duration_seconds:g} s were asked for, {output.duration_seconds:g} s came"


def _usd(dollars: Decimal) -> str:
    return f"{dollars.quantize(Decimal('0.000001')).normalize():f} USD"
