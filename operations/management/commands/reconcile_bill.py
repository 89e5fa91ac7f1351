"""Print what fal billed beside what was ordered, and the margin of each model; exit code 1 when they differ."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from generations.catalogue import MODELS
from generations.fal import FalError, platform
from generations.provider import clients
from operations import provider_bill
from operations.provider_bill import Bill, Margin, Report

DAYS = 7
# The bill may lag behind the results.
LAG_MINUTES = 60
SHOWN_MAX = 50


class Command(BaseCommand):
    help = (
        "Compare every generation that ended with fal's bill: drift, charges without a generation, generations "
        "without a charge, asked against delivered size. Prints the margin of each model. Exit code 1 on findings."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=_moment, help=f"a date or time, UTC (default: {DAYS} days ago)")
        parser.add_argument(
            "--lag-minutes", type=int, default=LAG_MINUTES, help="leave out what ended later (default %(default)s)"
        )

    def handle(self, *args: Any, lag_minutes: int, **options: Any) -> None:
        now = timezone.now()
        until = now - timedelta(minutes=lag_minutes)
        since = options["since"] or now - timedelta(days=DAYS)
        if since >= until:
            raise CommandError(f"--since must lie before {until:%Y-%m-%d %H:%M} UTC.")
        try:
            bill = self._read(since, until, now)
        except FalError as error:
            raise CommandError(f"fal's bill cannot be read: {error}") from error
        report = provider_bill.reconcile(bill, since=since, until=until)
        self._print(report.margins)
        self._judge(report)

    def _read(self, since: datetime, until: datetime, now: datetime) -> Bill:
        if (admin := clients.fal_admin()) is not None:
            count = provider_bill.keep(platform.billing_events(admin, since=since - provider_bill.EARLIER, until=now))
            self.stdout.write(f"{count} lines of fal's bill read.")
            return provider_bill.billed(since=since, until=until)
        self.stdout.write(
            "FAL_ADMIN_KEY is not set, so fal's bill cannot be read. What follows is an estimate: the units that "
            "results named, at today's list prices; charges without a generation cannot be seen."
        )
        endpoints = sorted({model.endpoint for model in MODELS.values()})
        return provider_bill.estimated(platform.prices(clients.fal(), endpoints), since=since)

    def _print(self, margins: dict[str, Margin]) -> None:
        self.stdout.write(f"{'model':<24}{'orders':>8}{'credits':>10}{'billed USD':>14}{'margin USD':>14}{'%':>8}")
        for slug, margin in sorted(margins.items()):
            share = "–" if margin.percent is None else f"{margin.percent}"
            row = f"{slug:<24}{margin.orders:>8}{margin.captured:>10}{_usd(margin.dollars):>14}"
            self.stdout.write(f"{row}{_usd(margin.earned):>14}{share:>8}")

    def _judge(self, report: Report) -> None:
        if not report.findings:
            self.stdout.write("The bill is what was ordered.")
            return
        counts = Counter(finding.rule for finding in report.findings)
        summary = ", ".join(f"{count} {rule}" for rule, count in sorted(counts.items()))
        shown = [str(finding) for finding in report.findings[:SHOWN_MAX]]
        more = [f"… and {len(report.findings) - SHOWN_MAX} more"] if len(report.findings) > SHOWN_MAX else []
        raise CommandError("\n".join([f"The bill differs ({summary}):", *shown, *more]))


def _usd(dollars: Decimal) -> str:
    return f"{dollars:.3f}"


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
