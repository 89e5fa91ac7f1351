"""Pause and resume all intake: what is under way goes on, and new orders are told to come again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from generations.models import OrderIntake
from generations.ordering import order_intake


class Command(BaseCommand):
    help = "Stop taking orders (pause), take them again (resume), or say whether they are taken (status)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["pause", "resume", "status"])
        parser.add_argument("--reason", default="", help="for staff: every page of the admin shows it")

    def handle(self, *args: Any, action: str, reason: str, **options: Any) -> None:
        if action == "pause":
            order_intake.pause(reason)
        elif action == "resume":
            order_intake.resume()
        self.stdout.write(f"Intake is {OrderIntake.objects.first() or 'open'}.")
