"""`manage.py check_invariants`: prints the violations of the invariants. Exit status 1 if there are any."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from operations import invariants


class Command(BaseCommand):
    help = "Check that generations, submissions, files and credits agree. Exits with status 1 if they do not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--quiet-time", action="store_true", help="also report unfinished work: there should be none"
        )

    def handle(self, *args: Any, quiet_time: bool, **options: Any) -> None:
        findings = invariants.always() + (invariants.at_rest() if quiet_time else [])
        if findings:
            raise CommandError("\n".join(["These invariants are violated:", *map(str, findings)]))
        self.stdout.write("Every invariant holds.")
