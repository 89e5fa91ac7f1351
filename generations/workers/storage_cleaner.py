"""Deletes files that rows name as unneeded, and compares the storage with the tables, once a day.

Unneeded are the files of attempts that have lost (`files.write_attempts`), and of uploads that were never completed.
Files that no row names may be the only copies of another Limn, or of a newer state of this database, which was restored
from a dump: they are counted and reported, and only `manage.py unknown_files` deletes them. Stored files that are
missing are reported as well.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from django.db.models import Q
from django.db.models.functions import Now

from database.time_scale import scaled
from generations.files import storage, storage_mark, uploads, write_attempts
from generations.files.storage import StoredObject
from generations.models import Output, StorageReport, Upload, WriteAttempt
from generations.workers import heartbeats, storage_state

logger = logging.getLogger(__name__)

PASS = "storage pass"  # noqa: S105  (the name of a heartbeat)
EVERY = timedelta(days=1)
MARK = "storage mark"
# A database that is restored from a dump of the last minutes is not noticed. Each mark costs one small write.
MARK_EVERY = timedelta(seconds=scaled(300))
MISSING_NAMED_MAX = 5
# How many rows are compared with one page of the listing. A bucket that has lost its files would have millions.
ROWS_MAX = 2 * storage.PAGE_KEYS_MAX


def _new_report() -> StorageReport:
    return StorageReport(pk=1, unknown_files=0, unknown_bytes=0, missing_files=0, ended_at=Now())


@dataclass
class StorageCleaner:
    """Passes through the storage, one page of its listing at a time, so that a bucket may have any size.

    A pass that fails starts over the next day.
    """

    _place: tuple[str, str] | None = field(default=None, init=False)
    """The folder that is listed, and the last key of the page before; None between two passes."""
    _report: StorageReport = field(default_factory=_new_report, init=False)

    def run_once(self, *, limit: int) -> int:
        """Process up to `limit` pages. Returns how many."""
        pages = 0
        try:
            while pages < limit and self._is_due():
                self._process_page()
                pages += 1
        except (BotoCoreError, ClientError, OSError) as error:
            self._place = None
            logger.warning("the storage could not be listed", extra={"error": f"{error}"[:200]})
        return pages

    def _is_due(self) -> bool:
        if self._place is not None:
            return True
        if not heartbeats.take_turn(PASS, every=EVERY):
            return False
        self._place, self._report = (storage.OUTPUTS, ""), _new_report()
        storage.empty_place(storage.PROBE)
        return True

    def _process_page(self) -> None:
        folder, after = self._place or (storage.OUTPUTS, "")
        page = storage.list_page(folder, after=after)
        last = page[-1].key if len(page) == storage.PAGE_KEYS_MAX else None
        for listed in unknown_files(page):
            self._report.unknown_files += 1
            self._report.unknown_bytes += listed.size_bytes
            self._report.first_unknown = self._report.first_unknown or listed.key
        if folder == storage.OUTPUTS:
            self._report.missing_files += _report_missing({listed.key for listed in page}, after, last)
        if last is not None:
            self._place = folder, last
        elif folder == storage.OUTPUTS:
            self._place = storage.UPLOADS, ""
        else:
            self._end_pass()

    def _end_pass(self) -> None:
        self._place = None
        self._report.save()
        if self._report.unknown_files:
            extra = {"count": self._report.unknown_files, "first": self._report.first_unknown}
            logger.error("files in the storage belong to no row; these are not deleted", extra=extra)


_cleaner = StorageCleaner()


def run_once(*, limit: int) -> int:
    """Clean up uploads and attempts that are due, and process up to `limit` pages of the storage. Returns the sum."""
    if storage_mark.guard.refusal():
        return 0
    try:
        if heartbeats.take_turn(MARK, every=MARK_EVERY):
            storage_mark.guard.renew()
        # Both read the mark again before they delete anything: each of several workers relies on its own verdict.
        handled = write_attempts.clean_up(limit=write_attempts.ROWS_AT_ONCE) + uploads.clean_up(limit=limit)
    except storage_mark.ForeignStorage as error:
        logger.error("the storage is not used", extra={"error": str(error)})
        return 0
    except (BotoCoreError, ClientError, OSError) as error:
        logger.warning("the storage is not available", extra={"error": f"{error}"[:200]})
        return 0
    return handled + _cleaner.run_once(limit=limit)


def unknown_files(page: Sequence[StoredObject]) -> Iterator[StoredObject]:
    """Yield the files of a page that no row names: no output or upload, and no attempt to write one.

    Every file of this database is named by a row before its first byte is stored, so it needs no age to be judged.
    """
    owners = {owner for listed in page if (owner := _owner_of(listed.key))}
    places = [
        f"{attempt.place}."
        for name in ("output__generation", "upload")
        for attempt in WriteAttempt.objects.filter(**{f"{name}__in": owners}).select_related("output", "upload")
    ]
    # In this order: an attempt that is removed meanwhile has won, and its output or upload names the file.
    named = set(Output.objects.filter(generation__in=owners).values_list("key", flat=True))
    for upload in Upload.objects.filter(pk__in=owners):
        named |= {upload.key, upload.thumbnail_key, upload.incoming_key}
    for listed in page:
        if listed.key not in named and not listed.key.startswith(tuple(places)):
            yield listed


def all_unknown_files() -> Iterator[StoredObject]:
    """Yield what `unknown_files` yields of the whole storage. Raises what the storage raises."""
    for folder in (storage.OUTPUTS, storage.UPLOADS):
        after: str | None = ""
        while after is not None:
            page = storage.list_page(folder, after=after)
            yield from unknown_files(page)
            after = page[-1].key if len(page) == storage.PAGE_KEYS_MAX else None


def delete_unknown(files: Sequence[StoredObject]) -> None:
    """Delete unknown files, as the command of the same name asks. Raises as `storage_state.require_own`."""
    for start in range(0, len(files), storage.PAGE_KEYS_MAX):
        storage_state.require_own()
        # Asked again: the list may be older than a row that names one of them.
        for file in unknown_files(files[start : start + storage.PAGE_KEYS_MAX]):
            storage.delete(file.key)
    # The next pass counts again.
    StorageReport.objects.update(unknown_files=0, unknown_bytes=0, first_unknown="")


def _report_missing(listed: set[str], after: str, last: str | None) -> int:
    """Report the stored outputs between two keys that are not listed, and return their number."""
    # The ids narrow the rows down, because databases sort texts in different orders; the keys decide in Python.
    between = Q()
    if (first := _owner_of(after)) is not None:
        between &= Q(generation_id__gte=first)
    if last and (final := _owner_of(last)) is not None:
        between &= Q(generation_id__lte=final)
    # A file that was stored after the page was listed is not in it.
    rows = Output.objects.stored().filter(between, stored_at__lt=Now() - EVERY).order_by("generation_id")
    # A page that lists fewer files than there are rows shows that some are missing, whichever rows follow.
    keys = rows.values_list("key", flat=True)[:ROWS_MAX]
    missing = [key for key in keys if after < key and (last is None or key <= last) and key not in listed]
    if missing:
        extra = {"count": len(missing), "first": " ".join(missing[:MISSING_NAMED_MAX])}
        logger.error("stored files are missing from storage", extra=extra)
    return len(missing)


def _owner_of(key: str) -> UUID | None:
    """Return the id of the generation or upload in a key that Limn has made; None for any other key."""
    try:
        return UUID(key.partition("/")[2].partition("/")[0])
    except ValueError:
        return None
