"""The view for fal's callbacks: verify, store, report to the lifecycle, answer.

It answers within milliseconds and never with a redirect. The cheapest checks come first, and nothing touches the
database before the signature is verified. A genuine callback is answered with 200, a repeated one too; a wrong
signature, time or account with 401; an unknown submission with 404; missing keys, or an error of Limn, with 503,
so that fal sends it again.
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
        submission = _find_submission(submission_id, token, callback, signed, body)
    except CallbackRejected as rejection:
        rejections.count(rejection.status)
        response = HttpResponse(status=rejection.status)
        # Replaces Django's own log line: a flood of forgeries fills the log fast enough with one.
        line = ("callback rejected: %s (submission %s)", rejection, submission_id)
        log_response(*line, response=response, request=request, logger=logger, level="warning")
        return response
    stored = _store(submission, callback, body)
    if stored.outcome == ProviderCallback.Outcome.RECEIVED:
        failpoints.reach("kept")
        match callback_inbox.process(stored):
            case ProviderCallback.Outcome.APPLIED:
                tasks.enqueue_copy(submission.generation_id)
            case ProviderCallback.Outcome.UNCLEAR:
                tasks.enqueue_reconcile(submission.generation_id)
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
    keys, now, user_id = clients.keys(), time.time(), settings.FAL_USER_ID or None
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


def _find_submission(
    submission_id: UUID, token: str, callback: wire.Callback, signed: SignedHeaders, body: bytes
) -> Submission:
    """Return the submission that the callback belongs to: account, token and request id must all agree.

    fal signs for every customer of fal, and the URL is not signed. So a valid signature alone proves nothing.
    """
    user_id = clients.fal_user_id()
    if user_id is not None and not signed.is_for_account(user_id):
        raise CallbackRejected(401, "signed for another fal account")
    submission = Submission.objects.select_related("generation").filter(pk=submission_id).first()
    if submission is None or not hmac.compare_digest(submission.token.encode(), token.encode()):
        if user_id is not None:
            # fal reports to Limn's account about something unknown, for example after a restore. Staff see it.
            _store(None, callback, body)
        raise CallbackRejected(404, "no submission has this URL")
    others = Submission.objects.filter(request_id=callback.request_id).exclude(generation=submission.generation_id)
    if submission.state == Submission.State.PLANNED or others.exists():
        # Never sent, or the request of another generation.
        _store(None, callback, body)
        raise CallbackRejected(404, "the request belongs to another submission")
    if user_id is None:
        # Without FAL_USER_ID, the first callback whose token and request id agree names Limn's account at fal.
        pin = {"user_id": signed.user_id, "pinned_by": submission}
        _, is_new = FalAccount.objects.get_or_create(id=1, defaults=pin)
        if is_new:
            logger.warning("fal account pinned; set FAL_USER_ID to it", extra={"fal_user_id": signed.user_id})
    return submission


def _store(submission: Submission | None, callback: wire.Callback, body: bytes) -> ProviderCallback:
    """Store the callback as it came, once, and count repetitions. Without a submission it is an orphan.

    Committed by itself: storing waits for no lock of a generation.
    """
    defaults: dict[str, Any] = {"request_id": callback.request_id, "body": body}
    identity: dict[str, Any] = {"submission": submission, "body_sha256": hashlib.sha256(body).hexdigest()}
    if submission is None:
        defaults["outcome"] = ProviderCallback.Outcome.ORPHAN
        identity["request_id"] = callback.request_id
    with transaction.atomic():
        stored, is_new = ProviderCallback.objects.get_or_create(**identity, defaults=defaults)
        if not is_new:
            ProviderCallback.objects.filter(pk=stored.pk).update(repeats=F("repeats") + 1)
    return stored
