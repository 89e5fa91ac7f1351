"""Compares storage with the rows, once a day: what no row needs is deleted, what a row misses is an alarm."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from django.db.models import Q
from django.utils import timezone

from generations.files import storage, uploads
from generations.files.storage import Listed
from generations.models import Generation, Output, Phase
from generations.workers import heartbeats

logger = logging.getLogger(__name__)

PASS = "storage pass"  # noqa: S105  (the name of a heartbeat)
EVERY = timedelta(days=1)
# A copy is over after hours. What is younger than a day may still be somebody's work.
AGE_MIN = timedelta(days=1)
MISSING_NAMED_MAX = 5


@dataclass
class Sweeper:
    """Page by page, so that nobody waits for long and a bucket may have any size. A pass that breaks off begins
    anew the next day."""

    clock: Callable[[], datetime] = timezone.now
    _after: str | None = field(default=None, init=False)
    """The last key of the page before; None between two passes."""

    def run_once(self, *, limit: int) -> int:
        """Look through at most `limit` pages. How many it looked through."""
        pages = 0
        try:
            while pages < limit and self._is_due():
                self._after = self._sweep(self._after or "")
                pages += 1
        except (BotoCoreError, ClientError, OSError) as error:
            self._after = None
            logger.warning("storage could not be looked through", extra={"error": f"{error}"[:200]})
        return pages

    def _is_due(self) -> bool:
        if self._after is not None:
            return True
        if not heartbeats.turn(PASS, every=EVERY):
            return False
        storage.abort_uploads(before=self.clock() - AGE_MIN)
        return True

    def _sweep(self, after: str) -> str | None:
        """One page. Where the next one begins; None when this was the last."""
        page = storage.listing(after=after)
        last = page[-1].key if len(page) == storage.PAGE_KEYS_MAX else None
        _delete_unneeded(page, before=self.clock() - AGE_MIN)
        _report_missing({listed.key for listed in page}, after, last, before=self.clock() - AGE_MIN)
        return last


_sweeper = Sweeper()


def run_once(*, limit: int) -> int:
    """Uploads that were not completed, and a pass through storage. How many uploads and pages it looked at."""
    return uploads.sweep(limit=limit) + _sweeper.run_once(limit=limit)


def _delete_unneeded(page: Sequence[Listed], *, before: datetime) -> None:
    owners = {listed.key: _generation_of(listed.key) for listed in page}
    ids = {owner for owner in owners.values() if owner}
    # In this order: what is in progress now may be stored a moment later, what is done never changes.
    phases = dict(Generation.objects.filter(pk__in=ids).values_list("pk", "phase"))
    needed = set(Output.objects.stored().filter(generation__in=ids).values_list("key", flat=True))
    old = [listed.key for listed in page if listed.modified_at < before and listed.key not in needed]
    strangers = [key for key in old if owners[key] not in phases]
    unneeded = [key for key in old if (owner := owners[key]) and phases.get(owner) == Phase.DONE]
    if len(strangers) <= len(page) / 2:
        unneeded += strangers
    else:
        # Another Limn's bucket, or a database restored from an old copy: they may be all that is left of the files.
        logger.error("most files in storage are strangers; none is deleted", extra={"count": len(strangers)})
    for key in unneeded:
        storage.delete(key)
    if unneeded:
        logger.warning("files that no row needs were deleted", extra={"count": len(unneeded), "first": unneeded[0]})


def _report_missing(there: set[str], after: str, last: str | None, *, before: datetime) -> None:
    rows = Output.objects.stored().filter(_between(after, last), stored_at__lt=before).order_by("generation_id")
    keys = rows.values_list("key", flat=True).iterator()
    missing = [key for key in keys if after < key and (last is None or key <= last) and key not in there]
    if missing:
        extra = {"count": len(missing), "first": " ".join(missing[:MISSING_NAMED_MAX])}
        logger.error("stored files are missing from storage", extra=extra)


def _between(after: str, last: str | None) -> Q:
    """The generations whose files stand between these keys. The ids alone decide: databases sort texts variously."""
    condition = Q()
    if (first := _generation_of(after)) is not None:
        condition &= Q(generation_id__gte=first)
    if last and (final := _generation_of(last)) is not None:
        condition &= Q(generation_id__lte=final)
    return condition


def _generation_of(key: str) -> UUID | None:
    """Whose file it is, by the key that the copier gives."""
    try:
        return UUID(key.removeprefix(storage.PREFIX).partition("/")[0])
    except ValueError:
        return None
