"""`manage.py unknown_files`: lists the files in the storage that no row of this database names, and can delete them."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.core.management.base import CommandError, CommandParser

from database.commands import ActingCommand
from generations.workers import storage_cleaner, storage_state


class Command(ActingCommand):
    help = (
        "List the files in the storage that no row of this database names: key, bytes and time. They may be those of "
        "another Limn, or of a database that was restored from an older dump. Nothing is deleted without --delete."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--delete", type=int, metavar="COUNT", help="delete them if there are exactly COUNT")

    def handle(self, *args: Any, delete: int | None, **options: Any) -> None:
        try:
            storage_state.require_own()
            found = list(storage_cleaner.all_unknown_files())
            for file in found:
                self.stdout.write(f"{file.key}  {file.size_bytes}  {file.modified_at:%Y-%m-%d %H:%M:%S}")
            if delete is None:
                self.stderr.write(f"{len(found)} unknown files. To delete them: --delete {len(found)}")
            elif delete != len(found):
                raise CommandError(f"Nothing is deleted: there are {len(found)} unknown files, not {delete}.")
            else:
                storage_cleaner.delete_unknown(found)
                self.stderr.write(f"{len(found)} files were deleted.")
        except storage_state.StorageRefused as error:
            raise CommandError(str(error)) from error
        except (BotoCoreError, ClientError, OSError) as error:
            raise CommandError(f"The storage is not available: {error}") from error
