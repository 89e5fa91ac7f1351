"""`manage.py intake`: pauses and resumes new orders. Generations that have been ordered already continue."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from database.commands import ActingCommand
from generations.ordering import order_intake


class Command(ActingCommand):
    help = "Pause new orders (pause), accept them again (resume), or show whether they are accepted (status)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["pause", "resume", "status"])
        parser.add_argument("--reason", default="", help="shown to staff on every page of the admin")

    def handle(self, *args: Any, action: str, reason: str, **options: Any) -> None:
        if action == "pause":
            order_intake.pause(reason)
        elif action == "resume":
            order_intake.resume()
        self.stdout.write(f"Order intake is {order_intake.state()}.")
