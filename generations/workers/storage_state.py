"""Whether this process may use the storage, for the commands that start processes and for the health check.

It may not if the storage bears the mark of another deployment (`files.storage_mark`).
"""

from __future__ import annotations

import logging

from botocore.exceptions import BotoCoreError, ClientError
from django.db import Error

from generations.files import storage_mark
from generations.models import WriteAttempt

logger = logging.getLogger(__name__)


class StorageRefused(Exception):
    """The storage belongs to another deployment. The text says what to do."""


def guard() -> None:
    """Begin to verify, in this process, that the storage is that of its database."""
    storage_mark.guard.start()


def refuse_foreign() -> None:
    """Raise StorageRefused if the storage belongs to another deployment. Called when a process starts.

    If the storage or the database does not answer, the process starts all the same: it verifies the storage later, and
    writes nothing before.
    """
    try:
        require_own()
    except (BotoCoreError, ClientError, OSError, Error) as error:
        logger.warning("the storage could not be verified", extra={"error": f"{type(error).__name__}: {error}"[:200]})


def require_own() -> None:
    """Raise StorageRefused if the storage belongs to another deployment, and what the storage raises."""
    try:
        storage_mark.verify()
    except storage_mark.ForeignStorage as error:
        raise StorageRefused(str(error)) from error


def part_of_health() -> str:
    """Return the state of the storage for the health check: ok, away, or that it belongs to another deployment."""
    refusal = storage_mark.guard.refusal()
    if not refusal:
        return "ok"
    return "away" if refusal == storage_mark.NOT_AVAILABLE else "belongs to another Limn"


def claim() -> int:
    """Make the storage that of this database. Raises what the storage raises.

    The attempts on record are forgotten, and their number is returned. In a database that was restored from an older
    dump, an attempt may seem to have lost whose file the database of that time delivered later.
    """
    storage_mark.claim()
    forgotten, _ = WriteAttempt.objects.all().delete()
    return forgotten
