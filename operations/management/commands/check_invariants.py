"""Print what breaks a rule that must always hold; exit code 1 when something does."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from operations import invariants


class Command(BaseCommand):
    help = "Prove that generations, attempts, files and credits agree. Exit code 1 when they do not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--quiet-time", action="store_true", help="nothing is under way: unfinished work is wrong")

    def handle(self, *args: Any, quiet_time: bool, **options: Any) -> None:
        findings = invariants.always() + (invariants.at_rest() if quiet_time else [])
        if findings:
            raise CommandError("\n".join(["These rules are broken:", *map(str, findings)]))
        self.stdout.write("Every invariant holds.")
