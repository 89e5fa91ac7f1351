"""fal's callbacks. Prove, keep, tell the lifecycle, answer: in milliseconds, and never with a redirect.

Cheapest checks first; nothing touches the database before the signature holds. Genuine → 200, repeated → 200;
signature, time or account wrong → 401; no attempt of ours → 404; no keys to verify with, or our own failure → 503.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import re
import threading
import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils.log import log_response
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from generations.callbacks import rejections
from generations.fal import wire
from generations.fal.keys import KeysUnavailable
from generations.fal.webhooks import (
    InvalidCallback,
    SignatureMismatch,
    SignedHeaders,
    StaleTimestamp,
    read_headers,
    verify,
)
from generations.jobs import failpoints
from generations.models import FalAccount, ProviderCallback, Submission
from generations.provider import clients
from generations.workers import callback_inbox, tasks

logger = logging.getLogger(__name__)

# fal's payloads are a few KB. We never ask for sync_mode, which would put whole files into them.
BODY_BYTES_MAX = 1024 * 1024
# Replays too are refused for their time, so a person is told of skew no more often than this.
SKEW_ALARM_SECONDS = 60


class CallbackRejected(Exception):
    """Not to be acted on. `status` is what fal hears."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@csrf_exempt
@require_POST
def fal_callback(request: HttpRequest, submission_id: UUID, token: str) -> HttpResponse:
    try:
        _glance(request)
        body = _read(request)
        claim = _prove(request, body)
        callback = _parse(claim, body)
        submission = _find(submission_id, token, callback, claim, body)
    except CallbackRejected as refusal:
        rejections.count(refusal.status)
        response = HttpResponse(status=refusal.status)
        # Instead of Django's line, not beside it: a flood of forgeries fills the log fast enough.
        words = ("callback refused: %s (attempt %s)", refusal, submission_id)
        log_response(*words, response=response, request=request, logger=logger, level="warning")
        return response
    _receive(submission, callback, body)
    return HttpResponse(status=200)


def _glance(request: HttpRequest) -> None:
    """What the headers alone give away is refused before its body is waited for: a slow body holds a thread."""
    if request.headers.get("Content-Encoding"):
        raise CallbackRejected(415, "the body is packed")
    try:
        read_headers(request.headers, user_id=settings.FAL_USER_ID or None)
    except InvalidCallback as error:
        raise CallbackRejected(401, str(error)) from error
    if request.headers.get("Transfer-Encoding"):
        raise CallbackRejected(411, "the body does not say how long it is")
    length = request.headers.get("Content-Length") or "0"
    if not re.fullmatch(r"[0-9]{1,18}", length) or int(length) > BODY_BYTES_MAX:
        raise CallbackRejected(413, "the body is too large")


def _read(request: HttpRequest) -> bytes:
    try:
        return request.read(BODY_BYTES_MAX)
    except UnreadablePostError as error:
        raise CallbackRejected(400, "the body broke off") from error


def _prove(request: HttpRequest, body: bytes) -> SignedHeaders:
    try:
        return _verify(request, body)
    except KeysUnavailable as error:
        raise CallbackRejected(503, str(error)) from error
    except StaleTimestamp as error:
        _skew.count(error.seconds_off)
        _look_into(error.request_id)
        raise CallbackRejected(401, str(error)) from error
    except InvalidCallback as error:
        raise CallbackRejected(401, str(error)) from error


def _verify(request: HttpRequest, body: bytes) -> SignedHeaders:
    keys, now, user_id = clients.keys(), time.time(), settings.FAL_USER_ID or None
    known = keys.current()
    try:
        return verify(request.headers, body, keys=known, now=now, user_id=user_id)
    except SignatureMismatch:
        # Keys rotate. A flood of forgeries still makes us fetch no more than once a minute.
        if (others := keys.newer_than(known)) is None:
            raise
        return verify(request.headers, body, keys=others, now=now, user_id=user_id)


class _Skew:
    """True callbacks at the wrong time: one is a replay, many are a wrong clock, and a person should set it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rejected = 0
        self._said_at = -math.inf

    def count(self, seconds_off: int) -> None:
        with self._lock:
            self._rejected += 1
            if time.monotonic() - self._said_at < SKEW_ALARM_SECONDS:
                return
            rejected, self._rejected, self._said_at = self._rejected, 0, time.monotonic()
        logger.error("callbacks rejected for skew", extra={"rejected": rejected, "seconds_off": seconds_off})


_skew = _Skew()


def _look_into(request_id: str) -> None:
    """fal did sign it once, so there may be news: ask fal instead of believing it."""
    submission = Submission.objects.filter(request_id=request_id).first()
    if submission is not None:
        tasks.enqueue_reconcile(submission.generation_id)


def _parse(claim: SignedHeaders, body: bytes) -> wire.Callback:
    try:
        callback = wire.read_callback(body)
    except wire.InvalidMessage as error:
        raise CallbackRejected(400, f"not a callback: {error}") from error
    if callback.request_id != claim.request_id:
        raise CallbackRejected(400, "the header and the body name different requests")
    return callback


def _find(submission_id: UUID, token: str, callback: wire.Callback, claim: SignedHeaders, body: bytes) -> Submission:
    user_id = clients.fal_user_id()
    if user_id is not None and not claim.is_for_account(user_id):
        raise CallbackRejected(401, "signed for another fal account")
    submission = Submission.objects.select_related("generation").filter(pk=submission_id).first()
    if submission is None or not hmac.compare_digest(submission.token.encode(), token.encode()):
        if user_id is not None:
            # fal's word for our account about nothing we know: a restored database, perhaps. Staff will see it.
            _keep(None, callback, body)
        raise CallbackRejected(404, "no attempt of ours has this address")
    if not _may_be_of(submission, callback.request_id):
        _keep(None, callback, body)
        raise CallbackRejected(404, "the request belongs to another attempt")
    if user_id is None:
        _pin(submission, claim)
    return submission


def _may_be_of(submission: Submission, request_id: str) -> bool:
    """For an attempt that was sent: its own request, or one that no other generation has."""
    others = Submission.objects.filter(request_id=request_id).exclude(generation=submission.generation_id)
    return submission.state != Submission.State.PLANNED and not others.exists()


def _pin(submission: Submission, claim: SignedHeaders) -> None:
    """The first callback whose token and request id are ours tells which fal account is."""
    _, pinned = FalAccount.objects.get_or_create(id=1, defaults={"user_id": claim.user_id, "pinned_by": submission})
    if pinned:
        logger.warning("fal account pinned; set FAL_USER_ID to it", extra={"fal_user_id": claim.user_id})


def _receive(submission: Submission, callback: wire.Callback, body: bytes) -> None:
    delivery = _keep(submission, callback, body)
    if delivery.outcome != ProviderCallback.Outcome.RECEIVED:
        return
    failpoints.reach("kept")
    match callback_inbox.tell(delivery):
        case ProviderCallback.Outcome.APPLIED:
            tasks.enqueue_copy(submission.generation_id)
        case ProviderCallback.Outcome.UNCLEAR:
            tasks.enqueue_reconcile(submission.generation_id)


def _keep(submission: Submission | None, callback: wire.Callback, body: bytes) -> ProviderCallback:
    """The delivery's row. Committed by itself: it waits for nobody's lock, and what it says is told from there."""
    defaults: dict[str, Any] = {"request_id": callback.request_id, "body": body}
    if submission is None:
        defaults["outcome"] = ProviderCallback.Outcome.ORPHAN
    digest = hashlib.sha256(body).hexdigest()
    identity: dict[str, Any] = {"submission": submission, "body_sha256": digest}
    if submission is None:
        identity["request_id"] = callback.request_id
    with transaction.atomic():
        delivery, new = ProviderCallback.objects.get_or_create(**identity, defaults=defaults)
        if not new:
            ProviderCallback.objects.filter(pk=delivery.pk).update(repeats=F("repeats") + 1)
    return delivery
