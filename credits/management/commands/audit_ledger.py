"""`manage.py audit_ledger`: print the result of the ledger's audit; exit code 1 if it has findings."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from credits.audit import audit


class Command(BaseCommand):
    help = "Check that balances, holds and entries agree. Exits with 1 if they do not."

    def handle(self, *args: Any, **options: Any) -> None:
        report = audit()
        sides = ", ".join(f"{side} {amount:+d}" for side, amount in report.sums.items())
        self.stdout.write(f"Accounts: {report.accounts}, holds: {report.holds}, entries: {report.entries}; {sides}.")
        if not report.clean:
            raise CommandError("\n".join(["The ledger is wrong:", *map(str, report.findings)]))
        self.stdout.write("The ledger is clean.")
