"""Compares the storage with the tables, once a day.

Files that no row needs are deleted. Stored files that are missing from the storage are logged as an error. Uploads that
were never completed are cleaned up as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from django.db.models import Q

from database import clock
from generations.files import storage, uploads
from generations.files.storage import StoredObject
from generations.models import Generation, Output, Phase
from generations.workers import heartbeats

logger = logging.getLogger(__name__)

PASS = "storage pass"  # noqa: S105  (the name of a heartbeat)
EVERY = timedelta(days=1)
# A copy takes hours at most. A file that is younger than a day may belong to one that is still running.
AGE_MIN = timedelta(days=1)
MISSING_NAMED_MAX = 5
# How many rows are compared with one page of the listing. A bucket that has lost its files would have millions.
ROWS_MAX = 2 * storage.PAGE_KEYS_MAX


@dataclass
class StorageCleaner:
    """Passes through the storage, one page of its listing at a time, so that a bucket may have any size.

    A pass that fails starts over the next day.
    """

    clock: Callable[[], datetime] = clock.now
    _after: str | None = field(default=None, init=False)
    """The last key of the page before; None between two passes."""

    def run_once(self, *, limit: int) -> int:
        """Process up to `limit` pages. Returns how many."""
        pages = 0
        try:
            while pages < limit and self._is_due():
                self._after = self._process_page(self._after or "")
                pages += 1
        except (BotoCoreError, ClientError, OSError) as error:
            self._after = None
            logger.warning("the storage could not be listed", extra={"error": f"{error}"[:200]})
        return pages

    def _is_due(self) -> bool:
        if self._after is not None:
            return True
        if not heartbeats.take_turn(PASS, every=EVERY):
            return False
        storage.abort_multipart_uploads(before=self.clock() - AGE_MIN)
        return True

    def _process_page(self, after: str) -> str | None:
        """Process the page after this key. Returns its last key; None if it was the last page."""
        page = storage.list_page(after=after)
        last = page[-1].key if len(page) == storage.PAGE_KEYS_MAX else None
        _delete_unneeded(page, before=self.clock() - AGE_MIN)
        _report_missing({listed.key for listed in page}, after, last, before=self.clock() - AGE_MIN)
        return last


_cleaner = StorageCleaner()


def run_once(*, limit: int) -> int:
    """Clean up to `limit` uploads that were not completed, and process pages of the storage. Returns the sum."""
    return uploads.clean_up(limit=limit) + _cleaner.run_once(limit=limit)


def _delete_unneeded(page: Sequence[StoredObject], *, before: datetime) -> None:
    owners = {listed.key: _generation_of(listed.key) for listed in page}
    ids = {owner for owner in owners.values() if owner}
    # In this order: a generation in progress may store a file a moment later, one that is done never does.
    phases = dict(Generation.objects.filter(pk__in=ids).values_list("pk", "phase"))
    needed = set(Output.objects.stored().filter(generation__in=ids).values_list("key", flat=True))
    old = [listed.key for listed in page if listed.modified_at < before and listed.key not in needed]
    unknown = [key for key in old if owners[key] not in phases]
    unneeded = [key for key in old if (owner := owners[key]) and phases.get(owner) == Phase.DONE]
    if len(unknown) <= len(page) / 2:
        unneeded += unknown
    else:
        # The bucket of another installation, or a database restored from an old backup: these files may be the only
        # copies that are left.
        logger.error("most listed files belong to no row; these are not deleted", extra={"count": len(unknown)})
    for key in unneeded:
        storage.delete(key)
    if unneeded:
        logger.warning("files that no row needs were deleted", extra={"count": len(unneeded), "first": unneeded[0]})


def _report_missing(listed: set[str], after: str, last: str | None, *, before: datetime) -> None:
    # The ids narrow the rows down, because databases sort texts in different orders; the keys decide in Python.
    between = Q()
    if (first := _generation_of(after)) is not None:
        between &= Q(generation_id__gte=first)
    if last and (final := _generation_of(last)) is not None:
        between &= Q(generation_id__lte=final)
    rows = Output.objects.stored().filter(between, stored_at__lt=before).order_by("generation_id")
    # A page that lists fewer files than there are rows shows that some are missing, whichever rows follow.
    keys = rows.values_list("key", flat=True)[:ROWS_MAX]
    missing = [key for key in keys if after < key and (last is None or key <= last) and key not in listed]
    if missing:
        extra = {"count": len(missing), "first": " ".join(missing[:MISSING_NAMED_MAX])}
        logger.error("stored files are missing from storage", extra=extra)


def _generation_of(key: str) -> UUID | None:
    """Return the id of the generation that the copier named in this key; None if the key is not one of the copier's."""
    try:
        return UUID(key.removeprefix(storage.OUTPUTS_PREFIX).partition("/")[0])
    except ValueError:
        return None
