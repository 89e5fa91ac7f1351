"""Mail to customers who asked for it: when an order has ended, one mail for a batch, and how to be left alone again.

A mail goes out at most once. Claimed as sent and then sent: a worker who dies in between has lost it, and that is the
better half; nobody minds a mail that a page says as well, everybody minds the same mail twice. Only what the mail
server refused for certain is tried again.
"""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from notifications.models import Notice, Subscriber
from notifications.payloads import absolute

_SALT = "notifications.email"
# In a mail about a batch; its page shows the others.
NAMED_MAX = 20
# A mail server that is away is back within hours, or the mail is old news.
PAUSES_SECONDS = (60, 300, 1800, 7200, 18_000)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One order of those that a mail is about."""

    title: str
    address: str
    succeeded: bool
    reason: str


# --- What is to be sent -------------------------------------------------------------------------------------------


def gather(*, limit: int) -> int:
    """Find batches that have ended and whose owners want to know, and note down a mail for each. How many."""
    members = Generation.objects.filter(batch=OuterRef("pk"))
    waiting = Batch.objects.filter(Exists(members), notify=True, notified_at=None)
    ended = waiting.exclude(Exists(members.in_progress())).order_by("id")[:limit]
    return sum(map(_note, list(ended)))


@transaction.atomic
def _note(batch: Batch) -> bool:
    # Of two workers who see it, one changes the row.
    if not Batch.objects.filter(pk=batch.pk, notified_at=None).update(notified_at=Now()):
        return False
    Notice.objects.create(account_id=batch.account_id, batch=batch, next_attempt_at=Now())
    return True


# --- Sending ------------------------------------------------------------------------------------------------------


def send(notice: Notice) -> None:
    """Claim it as sent, and send it."""
    subscriber = endpoints.of(notice.account)
    if why := _why_not(notice, subscriber):
        _end(notice, Notice.State.GIVEN_UP, why)
        return
    letter = write(notice, subscriber)
    if _end(notice, Notice.State.SENT):
        _hand_over(notice, letter)


def give_up(notice: Notice) -> None:
    _end(notice, Notice.State.GIVEN_UP, f"{notice.crashes} workers in a row died or stumbled over it")


def _why_not(notice: Notice, subscriber: Subscriber) -> str:
    if subscriber.mail == Subscriber.Mail.NEVER:
        return "the customer wants no mail"
    return "" if notice.account.user.email else "the customer has no address"


def _end(notice: Notice, state: Notice.State, detail: str = "") -> bool:
    mine = Notice.objects.filter(pk=notice.pk, lease=notice.lease, state=Notice.State.PENDING)
    changes = {"state": state, "detail": detail, "sent_at": Now() if state == Notice.State.SENT else None}
    return mine.update(lease=None, leased_until=None, next_attempt_at=None, crashes=0, **changes) == 1


def _hand_over(notice: Notice, letter: EmailMultiAlternatives) -> None:
    # The wait for a mail server needs no connection to the database.
    database.close()
    connection = mail.get_connection()
    try:
        connection.open()
    except (smtplib.SMTPException, OSError) as error:
        _try_again(notice, error)
        return
    try:
        connection.send_messages([letter])
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        _try_again(notice, error)
    except (smtplib.SMTPException, OSError) as error:
        # It may have arrived, and the receipt been lost.
        said = f"perhaps it arrived: {type(error).__name__}"
        Notice.objects.filter(pk=notice.pk).update(state=Notice.State.GIVEN_UP, detail=said)
    finally:
        connection.close()


def _try_again(notice: Notice, error: Exception) -> None:
    """The mail server has it for certain not."""
    detail = f"{type(error).__name__}: {error}"[:300]
    sent = Notice.objects.filter(pk=notice.pk, state=Notice.State.SENT)
    if notice.attempts > len(PAUSES_SECONDS):
        sent.update(state=Notice.State.GIVEN_UP, detail=detail, sent_at=None)
        return
    again_at = from_now(scaled(PAUSES_SECONDS[notice.attempts - 1]))
    sent.update(state=Notice.State.PENDING, detail=detail, sent_at=None, next_attempt_at=again_at)


# --- What a mail says ---------------------------------------------------------------------------------------------


def write(notice: Notice, subscriber: Subscriber) -> EmailMultiAlternatives:
    lines = _lines(notice)
    stop = absolute(reverse("unsubscribe", args=[_ticket(subscriber)]))
    context: dict[str, Any] = {
        "headline": _headline(notice, lines),
        "lines": lines[:NAMED_MAX],
        "others": max(0, len(lines) - NAMED_MAX),
        "endpoint": notice.endpoint,
        "all": absolute(reverse("notifications") if notice.endpoint else reverse("library")),
        "stop": stop,
    }
    letter = EmailMultiAlternatives(
        subject=f"Limn: {context['headline']}",
        body=render_to_string("mail/notification.txt", context),
        to=[notice.account.user.email],
        # RFC 8058: the mail program's own button, one POST without a login.
        headers={"List-Unsubscribe": f"<{stop}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    )
    letter.attach_alternative(render_to_string("mail/notification.html", context), "text/html")
    return letter


def _lines(notice: Notice) -> list[Line]:
    if notice.generation is not None:
        return [_line(notice.generation)]
    return [_line(each) for each in notice.batch.generations.order_by("id")] if notice.batch else []


def _line(generation: Generation) -> Line:
    # Not the prompt: a mail passes through many hands.
    model = MODELS.get(generation.model)
    return Line(
        title=model.title if model else generation.model,
        address=absolute(reverse("generation", args=[generation.pk])),
        succeeded=generation.status == Status.COMPLETED,
        reason=generation.failure_message,
    )


def _headline(notice: Notice, lines: Sequence[Line]) -> str:
    if notice.endpoint is not None:
        return "A webhook endpoint was switched off"
    ready = sum(line.succeeded for line in lines)
    if len(lines) == 1:
        return f"{lines[0].title}: ready" if ready else f"{lines[0].title}: could not be made"
    return f"{ready} of {len(lines)} ready"


# --- Being left alone ---------------------------------------------------------------------------------------------


def _ticket(subscriber: Subscriber) -> str:
    """Opens nothing but the way out, and for as long as the mail is kept."""
    return signing.Signer(salt=_SALT).sign(subscriber.pk.hex)


def owner_of(ticket: str) -> Subscriber | None:
    """Whose mail this ticket, out of an address of ours, stops. None when it is none of ours."""
    try:
        return Subscriber.objects.filter(pk=signing.Signer(salt=_SALT).unsign(ticket)).first()
    except signing.BadSignature:
        return None


def unsubscribe(subscriber: Subscriber) -> None:
    """No mail any more, not for orders either that ask for one, until the customer says otherwise."""
    prefer(subscriber, Subscriber.Mail.NEVER)


def prefer(subscriber: Subscriber, choice: Subscriber.Mail) -> None:
    Subscriber.objects.filter(pk=subscriber.pk).update(mail=choice)
