"""`manage.py claim_storage`: makes the storage that of this database, after a restore or a move."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.core.management.base import CommandError

from database.commands import ActingCommand
from generations.workers import storage_state


class Command(ActingCommand):
    help = (
        "Make the storage that of this database, although it bears the mark of another Limn or of another copy of this "
        "database. First end all processes that use the storage. Nothing is deleted."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            forgotten = storage_state.claim()
        except (BotoCoreError, ClientError, OSError) as error:
            raise CommandError(f"The storage is not available: {error}") from error
        self.stdout.write(
            f"The storage belongs to this database now. {forgotten} attempts of earlier processes are forgotten: what "
            "they have left counts as unknown (manage.py unknown_files)."
        )
