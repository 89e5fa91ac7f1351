"""Attempts to write files, and what becomes of those that their row does not name in the end.

An output or upload names the files of the one attempt whose process held its lease until it was done. Each other
attempt deletes its own files; if its process dies, or wakes up later and writes them, `clean_up` does.
"""

from __future__ import annotations

import logging
from typing import cast
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from django.db.models import prefetch_related_objects

from generations.files import storage, storage_mark
from generations.jobs.statements import update_unlocked
from generations.models import Output, Upload, WriteAttempt, WriteAttemptQuerySet
from generations.models.write_attempt import CLEANUPS_MAX

logger = logging.getLogger(__name__)

# Most of them are named by their rows, and cost no request to the storage.
ROWS_AT_ONCE = 500


def record(upload: Upload) -> None:
    """Record the attempt of the process that has leased this upload. (That of an output is recorded by its claim.)"""
    WriteAttempt.objects.create(upload=upload, lease=cast("UUID", upload.lease), next_cleanup_at=WriteAttempt.pause())


def end(owner: Output | Upload, *, has_written: bool) -> None:
    """Report the end of an attempt whose file the row does not name.

    Args:
        has_written: Whether bytes may be in storage. What a request that was given up stores later is deleted as well.
    """
    attempts = WriteAttempt.objects.of(owner)
    if has_written:
        attempts.end()
    else:
        attempts.delete()


def settle(owner: Output | Upload) -> None:
    """Delete what an attempt has stored, unless the row names it.

    Called when the process is done, or finds out that it has lost its lease. If the storage is unavailable, `clean_up`
    deletes it later.
    """
    attempts = WriteAttempt.objects.of(owner)
    for attempt in attempts.select_related("output", "upload"):
        if attempt.has_won:
            attempts.delete()
            return
        attempts.end()
        try:
            _empty(attempt)
        except (BotoCoreError, ClientError, OSError) as error:
            logger.warning("an attempt is cleaned up later", extra={"place": attempt.place, "error": f"{error}"[:200]})


def clean_up(*, limit: int) -> int:
    """Look at due attempts, and empty the places of those that have not won and cannot any more.

    A place is emptied again after growing pauses, because its process may be suspended and write there later.

    Returns:
        How many attempts were due, at most `limit`.

    Raises:
        ForeignStorage: The storage belongs to another deployment. Nothing was deleted.
        OSError, BotoCoreError, ClientError: The storage is not available.
    """
    due = WriteAttempt.objects.to_clean_up().order_by("next_cleanup_at")[:limit]
    # Another process looks at others. If this one dies, they are due again after the pause.
    claimed = update_unlocked(due, next_cleanup_at=WriteAttempt.pause())
    prefetch_related_objects(claimed, "output", "upload")
    settled = [attempt.pk for attempt in claimed if attempt.has_won]
    lost = [attempt for attempt in claimed if not (attempt.has_won or attempt.may_win)]
    if lost:
        storage_mark.guard.verify_now()
    for attempt in lost:
        _empty(attempt)
        if attempt.is_over or attempt.cleanups >= CLEANUPS_MAX:
            settled.append(attempt.pk)
        else:
            WriteAttempt.objects.filter(pk=attempt.pk).clean_up_again()
    WriteAttempt.objects.filter(pk__in=settled).delete()
    return len(claimed)


def empty_places(attempts: WriteAttemptQuerySet) -> None:
    """Delete what these attempts have stored. Their rows remain: a suspended process may still write."""
    for attempt in attempts.select_related("output", "upload"):
        _empty(attempt)


def _empty(attempt: WriteAttempt) -> None:
    storage.empty_place(attempt.place)
    if isinstance(upload := attempt.owner, Upload) and upload.state != Upload.State.PENDING:
        # A process that received the bytes of the upload, and slept, may have stored them after they were deleted.
        storage.delete(upload.incoming_key)
