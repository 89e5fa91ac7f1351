"""Deletes the files of what was erased, with us and at fal, and erases what has outlived its owner's rule."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError
from django.utils import timezone

from database.time_scale import scaled
from generations import lifecycle
from generations.fal import FalError, platform
from generations.files import storage, uploads
from generations.jobs import backoff, leases
from generations.jobs.parallel import run
from generations.models import Erasure, Generation, Output, Phase, Retention, Submission, Upload
from generations.provider import clients
from generations.workers import heartbeats

logger = logging.getLogger(__name__)

LEASE_SECONDS = scaled(60)
FIRST_RETRY_SECONDS = scaled(5)
LONGEST_RETRY_SECONDS = scaled(3600)
RULES = "retention rules"
# A rule counts in days; nobody minds an hour.
RULES_EVERY = timedelta(hours=1)


def run_once(*, limit: int, now: datetime | None = None) -> int:
    """Delete what is due, at most `limit`. How many it took on."""
    _follow_rules(limit, now or timezone.now())
    return run(leases.claim(Erasure.objects.to_do(), limit=limit, seconds=LEASE_SECONDS), _erase, give_up=_erase)


def _erase(receipt: Erasure) -> None:
    try:
        for key in _keys(receipt):
            storage.delete(key)
        provider_copy = _forgotten_by_fal(receipt)
    except (BotoCoreError, ClientError, OSError, FalError) as error:
        _try_again(receipt, error)
        return
    lifecycle.erased(receipt, provider_copy=provider_copy)
    leases.release(receipt)


def _keys(receipt: Erasure) -> list[str]:
    outputs = Output.objects.filter(generation=receipt.generation_id).exclude(key="")
    return list(outputs.values_list("key", flat=True))


def _forgotten_by_fal(receipt: Erasure) -> Erasure.ProviderCopy:
    """fal keeps what it was sent and what it made: of each job, the surplus ones too. Raises FalError."""
    attempts = Submission.objects.filter(generation=receipt.generation_id).exclude(request_id=None)
    requests = list(attempts.values_list("request_id", flat=True))
    if not requests:
        return Erasure.ProviderCopy.NONE
    if (admin := clients.fal_admin()) is None:
        return Erasure.ProviderCopy.KEPT
    for request_id in requests:
        platform.delete_payloads(admin, str(request_id))
    return Erasure.ProviderCopy.DELETED


def _try_again(receipt: Erasure, error: Exception) -> None:
    detail = f"{type(error).__name__}: {error}"[:500]
    logger.warning("it could not be erased", extra={"generation": str(receipt.generation_id), "error": detail})
    Erasure.objects.filter(pk=receipt.pk, lease=receipt.lease).update(detail=detail)
    wait = backoff.seconds(receipt.attempts, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)
    leases.release(receipt, retry_in_seconds=wait)


def _follow_rules(limit: int, now: datetime) -> None:
    """Erase what is older than its owner wants it kept, at most `limit` of each; the rest at the next look."""
    age = heartbeats.age(RULES)
    if age is not None and age < RULES_EVERY:
        return
    more = [_follow(rule, limit, now) for rule in Retention.objects.order_by("pk")]
    if not any(more):
        heartbeats.beat(RULES)


def _follow(rule: Retention, limit: int, now: datetime) -> bool:
    """Whether there may be more of this account's to erase."""
    before = now - timedelta(days=rule.days)
    ended = Generation.objects.filter(account=rule.account_id, phase=Phase.DONE, erased_at=None)
    made = ended.filter(finished_at__lt=before).order_by("pk")[:limit]
    brought = Upload.objects.ready().filter(account=rule.account_id, created_at__lt=before).order_by("pk")[:limit]
    gone = [*map(_erase_made, made), *map(_erase_brought, brought)]
    return sum(gone) >= limit


def _erase_made(generation: Generation) -> bool:
    try:
        lifecycle.erase(generation, actor="limn:retention")
    except lifecycle.GenerationInUse:
        return False
    return True


def _erase_brought(upload: Upload) -> bool:
    try:
        return uploads.erase(upload)
    except uploads.UploadError as error:
        # In use, or the storage is away: another time.
        logger.info("an upload is kept for now", extra={"upload": str(upload.pk), "why": str(error)[:200]})
        return False
