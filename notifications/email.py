"""E-mails to customers: about one generation, about a whole batch, or about an endpoint that was disabled.

`mailer` claims the due rows and calls `send`; the outbox and `collect_ended_batches` write them. An e-mail is sent at
most once: its row is marked as sent before the mail server gets the message. If the worker dies in between, the e-mail
is lost, which is better than the same e-mail twice, because the pages show the result anyway. Only a message that the
mail server has certainly not accepted is sent again. Every e-mail contains a link that ends all e-mail without a login.
"""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from dataclasses import dataclass

from django.core import mail, signing
from django.core.mail import EmailMultiAlternatives
from django.db import connection as database
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.urls import reverse

from database.clock import from_now
from database.time_scale import scaled
from generations.catalogue import MODELS
from generations.models import Batch, Generation, Status
from notifications import endpoints
from notifications.models import EmailNotification, Subscriber
from notifications.payloads import absolute_url

_SALT = "notifications.email"
# An e-mail about a batch lists this many generations. The library shows the others.
GENERATIONS_LISTED_MAX = 20
# The pauses between attempts. They add up to seven and a half hours; an e-mail that is later than this is not useful.
RETRY_DELAYS_SECONDS = (60, 300, 1800, 7200, 18_000)
State = EmailNotification.State


@dataclass(frozen=True, kw_only=True)
class Line:
    """One generation in an e-mail, for the template."""

    title: str
    """The title of its model."""
    url: str
    succeeded: bool
    reason: str
    """Why it failed, for the customer."""


# --- Sending ------------------------------------------------------------------------------------------------------


def collect_ended_batches(*, limit: int) -> int:
    """Write an e-mail for up to `limit` batches that have ended and whose owners asked for one. Return how many."""
    members = Generation.objects.filter(batch=OuterRef("pk"))
    # Exists(members): a batch without generations would otherwise count as ended.
    waiting = Batch.objects.filter(Exists(members), notify=True, notified_at=None)
    ended = waiting.exclude(Exists(members.in_progress())).order_by("id")[:limit]
    count = 0
    for batch in list(ended):
        with transaction.atomic():
            # The condition decides which of several concurrent workers writes the e-mail.
            if Batch.objects.filter(pk=batch.pk, notified_at=None).update(notified_at=Now()):
                EmailNotification.objects.create(account_id=batch.account_id, batch=batch, next_attempt_at=Now())
                count += 1
    return count


def send(notification: EmailNotification) -> None:
    """Mark a claimed e-mail as sent, and send it. The caller holds its lease.

    If the customer wants no e-mail or has no address, it is given up instead.
    """
    subscriber = endpoints.subscriber_of(notification.account)
    if subscriber.email_preference == Subscriber.EmailPreference.NEVER:
        _finish(notification, State.GIVEN_UP, "the customer wants no e-mail")
        return
    if not notification.account.user.email:
        _finish(notification, State.GIVEN_UP, "the customer has no e-mail address")
        return
    message = compose(notification, subscriber)
    # A worker whose lease ran out sends nothing: another one has the row by now.
    if not _finish(notification, State.SENT):
        return
    # Waiting for a mail server needs no connection to the database.
    database.close()
    mail_server = mail.get_connection()
    try:
        mail_server.open()
    except (smtplib.SMTPException, OSError) as error:
        _retry_later(notification, error)
        return
    try:
        mail_server.send_messages([message])
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        _retry_later(notification, error)
    except (smtplib.SMTPException, OSError) as error:
        # The message may have been accepted, and only the confirmation lost. So it is not sent again.
        detail = f"it may have been delivered: {type(error).__name__}"
        EmailNotification.objects.filter(pk=notification.pk).update(state=State.GIVEN_UP, detail=detail)
    finally:
        mail_server.close()


def give_up(notification: EmailNotification) -> None:
    """Give up an e-mail that CRASHES_MAX workers in a row failed to send. The caller holds its lease."""
    detail = f"{notification.crashes} workers in a row died or raised while they sent it"
    _finish(notification, State.GIVEN_UP, detail)


def _finish(notification: EmailNotification, state: State, detail: str = "") -> bool:
    """Write the final state and release the lease. False if the lease is lost."""
    held = EmailNotification.objects.filter(pk=notification.pk, lease=notification.lease, state=State.PENDING)
    changes = {"state": state, "detail": detail, "sent_at": Now() if state == State.SENT else None}
    return held.update(lease=None, leased_until=None, next_attempt_at=None, crashes=0, **changes) == 1


def _retry_later(notification: EmailNotification, error: Exception) -> None:
    """Undo the mark after the mail server has certainly not accepted the message; give it up after the last delay."""
    detail = f"{type(error).__name__}: {error}"[:300]
    sent = EmailNotification.objects.filter(pk=notification.pk, state=State.SENT)
    if notification.attempts > len(RETRY_DELAYS_SECONDS):
        sent.update(state=State.GIVEN_UP, detail=detail, sent_at=None)
        return
    retry_at = from_now(scaled(RETRY_DELAYS_SECONDS[notification.attempts - 1]))
    sent.update(state=State.PENDING, detail=detail, sent_at=None, next_attempt_at=retry_at)


# --- Contents -----------------------------------------------------------------------------------------------------


def compose(notification: EmailNotification, subscriber: Subscriber) -> EmailMultiAlternatives:
    """Return the message, as text and as HTML. Unlike the pages, it does not show the prompt."""
    generations: Sequence[Generation] = []
    if notification.generation is not None:
        generations = [notification.generation]
    elif notification.batch is not None:
        generations = list(notification.batch.generations.order_by("id"))
    lines = [
        Line(
            # A generation outlives its model: the catalogue may no longer have it.
            title=MODELS[each.model].title if each.model in MODELS else each.model,
            url=absolute_url(reverse("generation", args=[each.pk])),
            succeeded=each.status == Status.COMPLETED,
            reason=each.failure_message,
        )
        for each in generations
    ]
    headline = _headline(notification, lines)
    # The token allows its bearer to unsubscribe and nothing else. It does not expire, because e-mails are kept.
    token = signing.Signer(salt=_SALT).sign(subscriber.pk.hex)
    unsubscribe_url = absolute_url(reverse("unsubscribe", args=[token]))
    context = {
        "headline": headline,
        "lines": lines[:GENERATIONS_LISTED_MAX],
        "others": max(0, len(lines) - GENERATIONS_LISTED_MAX),
        "endpoint": notification.endpoint,
        "page_url": absolute_url(reverse("notifications" if notification.endpoint else "library")),
        "unsubscribe_url": unsubscribe_url,
    }
    message = EmailMultiAlternatives(
        subject=f"Limn: {headline}",
        body=render_to_string("mail/notification.txt", context),
        to=[notification.account.user.email],
        # RFC 8058: mail programs offer a button that unsubscribes with one POST, without a login.
        headers={"List-Unsubscribe": f"<{unsubscribe_url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    )
    message.attach_alternative(render_to_string("mail/notification.html", context), "text/html")
    return message


def _headline(notification: EmailNotification, lines: Sequence[Line]) -> str:
    if notification.endpoint is not None:
        return "A webhook endpoint was switched off"
    completed = sum(line.succeeded for line in lines)
    if len(lines) == 1:
        return f"{lines[0].title}: {'completed' if completed else 'failed'}"
    return f"{completed} of {len(lines)} completed"


# --- Unsubscribing ------------------------------------------------------------------------------------------------


def find_subscriber(token: str) -> Subscriber | None:
    """Return whose e-mail an unsubscribe token stops. None if Limn did not sign the token."""
    try:
        return Subscriber.objects.filter(pk=signing.Signer(salt=_SALT).unsign(token)).first()
    except signing.BadSignature:
        return None


def set_preference(subscriber: Subscriber, preference: Subscriber.EmailPreference) -> None:
    """Store which e-mails the customer wants. NEVER also covers orders that request one."""
    Subscriber.objects.filter(pk=subscriber.pk).update(email_preference=preference)
