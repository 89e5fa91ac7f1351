"""The view for fal's callbacks: verify, store, answer. `workers.callback_inbox` reports them to the lifecycle.

It answers within milliseconds and never with a redirect. The cheapest checks come first, and nothing touches the
database before the signature is verified. A genuine callback is answered with 200, a repeated one too, and is
committed by then; a wrong signature, time or account is answered with 401; an unknown submission with 404; missing
keys, or an error of Limn, with 503, so that fal sends it again.
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

from database import clock
from generations.callbacks import rejections, statements
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
from generations.models import FalAccount, ProviderCallback, Submission
from generations.provider import clients
from generations.workers import tasks

logger = logging.getLogger(__name__)

# fal's payloads are a few KB. Limn never asks for sync_mode, which would put whole files into them.
BODY_BYTES_MAX = 1024 * 1024
# A replay is rejected for its time as well, so the log reports clock skew at most this often.
SKEW_LOG_SECONDS = 60


class CallbackRejected(Exception):
    """The callback is not acted upon. `status` is the HTTP status that fal gets."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@csrf_exempt
@require_POST
def fal_callback(request: HttpRequest, submission_id: UUID, token: str) -> HttpResponse:
    """Receive a callback. The URL names the submission and carries its secret token."""
    try:
        _check_headers(request)
        try:
            body = request.read(BODY_BYTES_MAX)
        except UnreadablePostError as error:
            raise CallbackRejected(400, "the body broke off") from error
        signed = _authenticate(request, body)
        try:
            callback = wire.read_callback(body)
        except wire.InvalidMessage as error:
            raise CallbackRejected(400, f"not a callback: {error}") from error
        if callback.request_id != signed.request_id:
            raise CallbackRejected(400, "the header and the body name different requests")
        outcome = _store(submission_id, token, callback.request_id, signed, body)
    except CallbackRejected as rejection:
        rejections.count(rejection.status)
        response = HttpResponse(status=rejection.status)
        # Replaces Django's own log line: a flood of forgeries fills the log fast enough with one.
        line = ("callback rejected: %s (submission %s)", rejection, submission_id)
        log_response(*line, response=response, request=request, logger=logger, level="warning")
        return response
    if outcome == ProviderCallback.Outcome.RECEIVED:
        tasks.wake("callback_inbox")
    return HttpResponse(status=200)


def _check_headers(request: HttpRequest) -> None:
    """Reject what the headers alone show to be wrong, before the body is read: a slow body occupies a thread."""
    if request.headers.get("Content-Encoding"):
        raise CallbackRejected(415, "the body is compressed")
    try:
        read_headers(request.headers, user_id=settings.FAL_USER_ID or None)
    except InvalidCallback as error:
        raise CallbackRejected(401, str(error)) from error
    if request.headers.get("Transfer-Encoding"):
        raise CallbackRejected(411, "the body has no Content-Length")
    length = request.headers.get("Content-Length") or "0"
    if not re.fullmatch(r"[0-9]{1,18}", length) or int(length) > BODY_BYTES_MAX:
        raise CallbackRejected(413, "the body is too large")


def _authenticate(request: HttpRequest, body: bytes) -> SignedHeaders:
    """Verify fal's signature over the headers and the body."""
    keys, now, user_id = clients.keys(), clock.now().timestamp(), settings.FAL_USER_ID or None
    try:
        known = keys.current()
        try:
            return verify(request.headers, body, keys=known, now=now, user_id=user_id)
        except SignatureMismatch:
            # fal rotates its keys. A flood of forgeries still causes at most one fetch a minute.
            if (others := keys.newer_than(known)) is None:
                raise
            return verify(request.headers, body, keys=others, now=now, user_id=user_id)
    except KeysUnavailable as error:
        raise CallbackRejected(503, str(error)) from error
    except StaleTimestamp as error:
        _skew.count(error.seconds_off)
        # fal signed this once, so the job may have changed. The reconciler asks fal; the callback itself is not used.
        stale = Submission.objects.filter(request_id=error.request_id).first()
        if stale is not None:
            tasks.enqueue_reconcile(stale.generation_id)
        raise CallbackRejected(401, str(error)) from error
    except InvalidCallback as error:
        raise CallbackRejected(401, str(error)) from error


class _SkewLog:
    """Logs genuine callbacks with a wrong time: one is a replay, many mean that this machine's clock is wrong."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rejected = 0
        self._logged_at = -math.inf

    def count(self, seconds_off: int) -> None:
        with self._lock:
            self._rejected += 1
            if time.monotonic() - self._logged_at < SKEW_LOG_SECONDS:
                return
            rejected, self._rejected, self._logged_at = self._rejected, 0, time.monotonic()
        logger.error("callbacks rejected for skew", extra={"rejected": rejected, "seconds_off": seconds_off})


_skew = _SkewLog()


def _store(submission_id: UUID, token: str, request_id: str, signed: SignedHeaders, body: bytes) -> str:
    """Store the callback if account, token and request id agree with a submission. Returns its outcome so far.

    fal signs for every customer of fal, and the URL is not signed. So a valid signature alone proves nothing. Storing
    waits for no lock of a generation.
    """
    details: dict[str, Any] = {
        "submission_id": submission_id,
        "token": token,
        "request_id": request_id,
        "user_id": signed.user_id,
        "body": body,
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }
    outcome = statements.store_callback(**details, account_is_known=bool(settings.FAL_USER_ID))
    if outcome is None:
        _require_submission(submission_id, token, request_id, signed, body)
        # The first callback at all: its account is pinned now.
        outcome = statements.store_callback(**details, account_is_known=False)
    if outcome is None:
        raise CallbackRejected(503, "the submission has changed in this moment")
    return outcome


def _require_submission(submission_id: UUID, token: str, request_id: str, signed: SignedHeaders, body: bytes) -> None:
    """Reject a callback that belongs to no submission. Pins the account of the first callback that belongs to one."""
    user_id = clients.fal_user_id()
    if user_id is not None and not signed.is_for_account(user_id):
        raise CallbackRejected(401, "signed for another fal account")
    submission = Submission.objects.filter(pk=submission_id).first()
    if submission is None or not hmac.compare_digest(submission.token.encode(), token.encode()):
        if user_id is not None:
            # fal reports to Limn's account about something unknown, for example after a restore. Staff see it.
            _store_orphan(request_id, body)
        raise CallbackRejected(404, "no submission has this URL")
    others = Submission.objects.filter(request_id=request_id).exclude(generation=submission.generation_id)
    if submission.state == Submission.State.PLANNED or others.exists():
        # Never sent, or the request of another generation.
        _store_orphan(request_id, body)
        raise CallbackRejected(404, "the request belongs to another submission")
    if user_id is None:
        # Without FAL_USER_ID, the first callback whose token and request id agree names Limn's account at fal.
        pin = {"user_id": signed.user_id, "pinned_by": submission}
        pinned, is_new = FalAccount.objects.get_or_create(id=1, defaults=pin)
        if is_new:
            logger.warning("fal account pinned; set FAL_USER_ID to it", extra={"fal_user_id": signed.user_id})
        elif not signed.is_for_account(pinned.user_id):
            raise CallbackRejected(401, "signed for another fal account")


def _store_orphan(request_id: str, body: bytes) -> None:
    """Store a callback that belongs to no submission, once, and count repetitions."""
    identity: dict[str, Any] = {"submission": None, "body_sha256": hashlib.sha256(body).hexdigest()}
    orphan = {"body": body, "outcome": ProviderCallback.Outcome.ORPHAN}
    with transaction.atomic():
        stored, is_new = ProviderCallback.objects.get_or_create(**identity, request_id=request_id, defaults=orphan)
        if not is_new:
            ProviderCallback.objects.filter(pk=stored.pk).update(repeats=F("repeats") + 1)
