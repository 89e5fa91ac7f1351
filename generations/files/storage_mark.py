"""The mark of a deployment in its storage. It tells two deployments apart, and two copies of one database.

    limn-deployment.json    {"deployment": <its first mark>, "mark": <its latest mark>}

Every mark is a row of `StorageMark` before it is written, and the storage cleaner writes a new one every few minutes.
So a mark that this database does not know was written by another deployment, or by a copy of this database: by the one
of which this one is an older dump, or by one that was restored elsewhere. Then the processes of this database write
and delete nothing in the storage.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from django.db.models.functions import Now

from generations.files import storage
from generations.models import StorageMark

logger = logging.getLogger(__name__)

KEY = "limn-deployment.json"
CONTENT_BYTES_MAX = 1000
# How long a process relies on what it has read.
VALID_SECONDS = 30.0
# The pause before a storage that was never verified, because it does not answer, is asked again.
RETRY_SECONDS = 1.0
NOT_AVAILABLE = "The storage is not available."
# Older marks are forgotten. A process that writes one after such a sleep is taken for another deployment.
KEPT = timedelta(days=30)


class ForeignStorage(Exception):
    """The storage bears the mark of another deployment, or of another copy of this database. The text is for staff."""


class Mark(NamedTuple):
    """The content of the object."""

    deployment: UUID
    latest: UUID


def verify() -> None:
    """Verify that the storage is that of this database. A storage without a mark becomes it.

    Of two deployments that start at the same time on a storage without a mark, one gets it: by a conditional write
    where the server knows it, or else because each reads the mark again now and later.

    Raises:
        ForeignStorage: It is not.
        OSError, BotoCoreError, ClientError: The storage is not available.
    """
    mark = _read()
    if mark is None:
        first = StorageMark.objects.create().pk
        storage.put_if_absent(KEY, _content(Mark(first, first)))
        mark = _read()
    known = set(StorageMark.objects.filter(pk__in=mark or ()).values_list("pk", flat=True))
    if mark is None or mark.latest in known:
        return
    what_to_do = "To take the storage over, end all processes that use it and run: manage.py claim_storage"
    if mark.deployment in known:
        raise ForeignStorage(
            "The storage was last used by another copy of this database: this one was restored from an older dump, or "
            f"two copies are running. {what_to_do}"
        )
    raise ForeignStorage(
        "The storage belongs to another Limn. Set STORAGE_PREFIX to a folder of your own, or use another bucket or "
        f"MEDIA_ROOT. {what_to_do}"
    )


def renew() -> None:
    """Write a new mark, so that an older dump of this database does not know it. Raises as `verify`."""
    verify()
    if (mark := _read()) is not None:
        _write(Mark(mark.deployment, StorageMark.objects.create().pk))
        old = StorageMark.objects.filter(created_at__lt=Now() - KEPT)
        old.exclude(pk=mark.deployment).delete()


def claim() -> None:
    """Make the storage that of this database, whatever mark it bears. Raises what the storage raises."""
    first = StorageMark.objects.create().pk
    _write(Mark(first, first))


class Guard:
    """Knows for a process whether the storage is that of its database. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._is_needed = self._has_verdict = False
        self._verifies_at = -math.inf
        self._refusal = ""

    def start(self) -> None:
        """Begin to verify it. Only processes that serve or work do: commands and tests have other reasons to write."""
        self._is_needed = True

    def refusal(self) -> str:
        """Return why this process must not use the storage; empty if it may. It relies on it for VALID_SECONDS.

        An outage of the storage is not waited for twice by threads that ask at the same time.
        """
        if not self._is_needed:
            return ""
        with self._lock:
            if self._clock() >= self._verifies_at:
                self._refusal, self._verifies_at = self._verify(), self._clock() + VALID_SECONDS
                if self._refusal == NOT_AVAILABLE:
                    self._verifies_at = self._clock() + RETRY_SECONDS
            return self._refusal

    def verify_now(self) -> None:
        """Read the mark now, if this process guards its storage. Called before files are deleted.

        An older dump may have been restored since the verdict on which `refusal` relies. Raises as `verify`.
        """
        if not self._is_needed:
            return
        try:
            verify()
        except ForeignStorage as error:
            with self._lock:
                self._refusal, self._has_verdict = str(error), True
            raise

    def renew(self) -> None:
        """Write a new mark, if this process guards its storage. Raises as `verify`."""
        if self._is_needed:
            renew()

    def _verify(self) -> str:
        try:
            verify()
        except ForeignStorage as error:
            logger.error("the storage is not used", extra={"error": str(error)})
            self._has_verdict = True
            return str(error)
        except (BotoCoreError, ClientError, OSError):
            # What was found before stays true during an outage, in which nothing can be written anyway.
            return self._refusal if self._has_verdict else NOT_AVAILABLE
        self._has_verdict = True
        return ""


guard = Guard()


def _read() -> Mark | None:
    content = storage.read(KEY, bytes_max=CONTENT_BYTES_MAX)
    if content is None:
        return None
    try:
        fields = json.loads(content)
        return Mark(UUID(fields["deployment"]), UUID(fields["mark"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ForeignStorage(f"The file {KEY} in the storage is not a mark of Limn.") from error


def _write(mark: Mark) -> None:
    storage.put(KEY, BytesIO(_content(mark)), content_type="application/json")


def _content(mark: Mark) -> bytes:
    return json.dumps({"deployment": str(mark.deployment), "mark": str(mark.latest)}).encode()
