"""`manage.py reconcile_bill`: compares fal's bill with the generations. Exit status 1 if they differ.

It also prints the margin of each model. Without FAL_ADMIN_KEY it estimates the bill.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError, CommandParser

from database import clock
from database.commands import ActingCommand
from generations.catalogue import MODELS
from generations.fal import FalError, platform
from generations.provider import clients
from operations import provider_bill
from operations.provider_bill import Bill

DAYS = 7
# The bill may lag behind the results.
LAG_MINUTES = 60
SHOWN_MAX = 50


class Command(ActingCommand):
    help = (
        "Compare every ended generation with fal's bill: price drift, charges without a generation, generations "
        "without a charge, ordered and delivered sizes. Prints the margin of each model. Exits with status 1 if "
        "anything differs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=utc_time, help=f"a date or time, UTC (default: {DAYS} days ago)")
        parser.add_argument(
            "--lag-minutes",
            type=int,
            default=LAG_MINUTES,
            help="ignore generations that ended within this time (default %(default)s)",
        )

    def handle(self, *args: Any, lag_minutes: int, **options: Any) -> None:
        now = clock.now()
        until = now - timedelta(minutes=lag_minutes)
        since = options["since"] or now - timedelta(days=DAYS)
        if since >= until:
            raise CommandError(f"--since must lie before {until:%Y-%m-%d %H:%M} UTC.")
        try:
            bill = self.read_bill(since, until, now)
        except FalError as error:
            raise CommandError(f"fal's bill cannot be read: {error}") from error
        report = provider_bill.reconcile(bill, since=since, until=until)

        self.stdout.write(f"{'model':<24}{'orders':>8}{'credits':>10}{'billed USD':>14}{'margin USD':>14}{'%':>8}")
        for slug, margin in sorted(report.margins.items()):
            share = "–" if margin.percent is None else f"{margin.percent}"
            row = f"{slug:<24}{margin.generations:>8}{margin.captured:>10}{_usd(margin.dollars):>14}"
            self.stdout.write(f"{row}{_usd(margin.earned):>14}{share:>8}")

        findings = report.findings
        if findings:
            counts = Counter(finding.rule for finding in findings)
            summary = ", ".join(f"{count} {rule}" for rule, count in sorted(counts.items()))
            lines = [f"The bill differs ({summary}):", *map(str, findings[:SHOWN_MAX])]
            if len(findings) > SHOWN_MAX:
                lines.append(f"… and {len(findings) - SHOWN_MAX} more")
            raise CommandError("\n".join(lines))
        self.stdout.write("The bill agrees with the generations.")

    def read_bill(self, since: datetime, until: datetime, now: datetime) -> Bill:
        """Read fal's bill and store it; without an admin key, estimate it. Raises FalError."""
        admin = clients.fal_admin()
        if admin is not None:
            # Until now, not only until the end of the span: fal may bill a job after Limn has seen it end.
            events = platform.billing_events(admin, since=since - provider_bill.BILLED_EARLIER_MAX, until=now)
            self.stdout.write(f"{provider_bill.store(events)} lines of fal's bill read.")
            return provider_bill.stored_bill(since=since, until=until)
        self.stdout.write(
            "FAL_ADMIN_KEY is not set, so fal's bill cannot be read. This is an estimate from the units of the results "
            "and today's list prices. It cannot show charges without a generation."
        )
        endpoints = sorted({model.endpoint for model in MODELS.values()})
        return provider_bill.estimated_bill(platform.prices(clients.fal(), endpoints), since=since)


def utc_time(text: str) -> datetime:
    """Parse a date or time in ISO format, which is in UTC unless it names an offset."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _usd(dollars: Decimal) -> str:
    return f"{dollars:.3f}"
