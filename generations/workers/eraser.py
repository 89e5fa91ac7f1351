"""Deletes the files of erased generations, in storage and at fal, and applies the retention rules of accounts.

The loop of `manage.py work` calls `run_once`. An erasure is retried until it has succeeded; its row is the receipt.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError
from django.db.models import QuerySet

from database import clock
from database.time_scale import scaled
from generations import lifecycle
from generations.fal import FalError, platform
from generations.files import storage, storage_mark, uploads, write_attempts
from generations.jobs import backoff, leases, parallel
from generations.models import Erasure, Generation, Output, Phase, Retention, Submission, Upload, WriteAttempt
from generations.provider import clients
from generations.workers import heartbeats

logger = logging.getLogger(__name__)

LEASE_SECONDS = scaled(60)
FIRST_RETRY_SECONDS = scaled(5)
LONGEST_RETRY_SECONDS = scaled(3600)
RULES = "retention rules"
# Retention is counted in days, so an hour more does not matter.
RULES_EVERY = timedelta(hours=1)


def due() -> QuerySet[Erasure]:
    """Return the rows that are due and that no worker holds."""
    return leases.unleased(Erasure.objects.to_do())


def run_once(*, limit: int, now: datetime | None = None) -> int:
    """Apply the retention rules if they are due, and complete up to `limit` due erasures. Returns how many."""
    if storage_mark.guard.refusal():
        return 0
    _apply_retention(limit, now or clock.now())
    receipts = leases.claim(Erasure.objects.to_do(), limit=limit, seconds=LEASE_SECONDS)
    # An erasure is never given up: what was promised to be deleted is tried until it is.
    return parallel.run(receipts, _erase, give_up=_erase, lease_seconds=LEASE_SECONDS)


def _erase(receipt: Erasure) -> None:
    try:
        storage_mark.guard.verify_now()
        outputs = Output.objects.filter(generation=receipt.generation_id).exclude(key="")
        for key in list(outputs.values_list("key", flat=True)):
            storage.delete(key)
        # A worker that was suspended may have stored a file that no row names, and may still be about to. The storage
        # cleaner empties the same places again.
        write_attempts.empty_places(WriteAttempt.objects.filter(output__generation=receipt.generation_id))
        provider_copy = _delete_at_fal(receipt)
    except (BotoCoreError, ClientError, OSError, FalError, storage_mark.ForeignStorage) as error:
        detail = f"{type(error).__name__}: {error}"[:500]
        logger.warning("an erasure failed", extra={"generation": str(receipt.generation_id), "error": detail})
        Erasure.objects.filter(pk=receipt.pk, lease=receipt.lease).update(detail=detail)
        wait = backoff.seconds(receipt.attempts, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)
        leases.release(receipt, retry_in_seconds=wait)
        return
    lifecycle.erased(receipt, provider_copy=provider_copy)
    leases.release(receipt)


def _delete_at_fal(receipt: Erasure) -> Erasure.ProviderCopy:
    """Delete the payloads and files that fal keeps of every job, surplus ones included. Raises FalError."""
    accepted = Submission.objects.filter(generation=receipt.generation_id).exclude(request_id=None)
    request_ids = list(accepted.values_list("request_id", flat=True))
    if not request_ids:
        return Erasure.ProviderCopy.NONE
    if (admin := clients.fal_admin()) is None:
        return Erasure.ProviderCopy.KEPT
    for request_id in request_ids:
        platform.delete_payloads(admin, str(request_id))
    return Erasure.ProviderCopy.DELETED


def _apply_retention(limit: int, now: datetime) -> None:
    """Erase what is older than its account's rule, at most `limit` generations and uploads of each account."""
    age = heartbeats.age(RULES)
    if age is not None and age < RULES_EVERY:
        return
    is_complete = True
    for rule in Retention.objects.order_by("pk"):
        before = now - timedelta(days=rule.days)
        erased = 0
        ended = Generation.objects.filter(account=rule.account_id, phase=Phase.DONE, erased_at=None)
        for generation in ended.filter(finished_at__lt=before).order_by("finished_at")[:limit]:
            with suppress(lifecycle.GenerationInUse):
                lifecycle.erase(generation, actor="limn:retention")
                erased += 1
        old_uploads = Upload.objects.ready().filter(account=rule.account_id, created_at__lt=before)
        for upload in old_uploads.order_by("pk")[:limit]:
            try:
                erased += uploads.erase(upload)
            except uploads.UploadError as error:
                # A generation uses it, or the storage is unavailable. The rule applies again later.
                logger.info("an upload is not erased yet", extra={"upload": str(upload.pk), "why": str(error)[:200]})
        is_complete = is_complete and erased < limit
    # Without the heartbeat the rules are due again at once, so a backlog is worked off without the hour's pause.
    if is_complete:
        heartbeats.beat(RULES)
