"""The base of the `manage.py` commands that order or change something.

Pages, the API and the loops of `manage.py work` do nothing while the clock of their process is wrong
(`clock.is_wrong`). Neither do these commands.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from database import clock


class ActingCommand(BaseCommand):
    """A command that refuses to start, with exit status 1, while the clock of this process is wrong."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Execute the command. Raises CommandError, and DatabaseError if the database was never reached."""
        if clock.is_wrong():
            seconds = round(clock.skew_seconds())
            direction = "ahead of" if seconds > 0 else "behind"
            raise CommandError(
                f"Nothing was done: the clock of this process is {abs(seconds)} s {direction} the database's. Set the "
                "clock of this machine."
            )
        return super().execute(*args, **options)
