"""Mail: for who asked, one for a batch, at most once, and a way out that works without a login."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from credits.models import Account
from generations import lifecycle
from generations.jobs import leases
from generations.models import Batch, FailureCode, Generation
from notifications import email, endpoints, mailer, outbox
from notifications.models import EmailNotification, Subscriber
from tests.fixtures.api import Ordering
from tests.helpers.threads import race
from tests.notifications.conftest import Listen
from tests.notifications.mail_server import MailServer, mail_server
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)
ALWAYS, NEVER = Subscriber.EmailPreference.ALWAYS, Subscriber.EmailPreference.NEVER


@pytest.fixture
def post_office(settings, alice: User) -> Iterator[MailServer]:
    """Mail goes to a server on a socket; Alice has an address."""
    User.objects.filter(pk=alice.pk).update(email="alice@example.com")
    with mail_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        yield server


@pytest.fixture
def batch(account: Account) -> Batch:
    return Batch.objects.create(account=account, notify=True)


def wants(account: Account, choice: Subscriber.EmailPreference) -> None:
    email.set_preference(endpoints.subscriber_of(account), choice)


def into(batch: Batch, *members: Generation) -> None:
    Generation.objects.filter(pk__in=[each.pk for each in members]).update(batch=batch)


def end(generation: Generation) -> None:
    lifecycle.failed(generation, lifecycle.failure(FailureCode.CANCELLED), actor="test")


def turn() -> int:
    """One turn, with what is due later due now."""
    EmailNotification.objects.filter(state="pending").update(next_attempt_at=Now(), leased_until=None)
    return mailer.run_once(limit=8)


def text_of(mail: EmailMessage, kind: str = "plain") -> str:
    part = mail.get_body([kind])
    assert part is not None
    return str(part.get_content())


def way_out(mail: EmailMessage) -> str:
    return re.sub(r"^<http://[^/]+|>$", "", str(mail["List-Unsubscribe"]).strip())


# --- Who gets one -------------------------------------------------------------------------------------------------


def test_who_asked_for_nothing_gets_nothing(completed: Ordering, post_office: MailServer) -> None:
    completed()

    turn()

    assert post_office.taken == []


def test_who_wants_all_is_told_of_completion_and_of_failure(
    account: Account, completed: Ordering, failed: Ordering, post_office: MailServer
) -> None:
    wants(account, ALWAYS)
    generation = completed()
    failed()

    turn()

    ready, not_made = sorted(post_office.taken, key=lambda mail: str(mail["Subject"]))
    assert ready["To"] == "alice@example.com"
    assert "completed" in text_of(ready)
    assert f"/generations/{generation.pk}/" in text_of(ready)
    assert "content policy" in text_of(not_made)
    assert "<a href=" in text_of(ready, "html")
    assert "a cat" not in str(ready)


def test_a_batch_is_one_mail_when_all_of_it_has_ended(
    batch: Batch, completed: Ordering, failed: Ordering, running: Ordering, post_office: MailServer
) -> None:
    last = running()
    into(batch, completed(), failed(), last)
    turn()
    assert post_office.taken == []

    end(last)
    turn()
    turn()

    assert [mail["Subject"] for mail in post_office.taken] == ["Limn: 1 of 3 completed"]
    assert Batch.objects.get().notified_at is not None


def test_who_wants_all_gets_one_mail_for_a_batch_too(
    account: Account, running: Ordering, post_office: MailServer
) -> None:
    wants(account, ALWAYS)
    batch = Batch.objects.create(account=account)
    members = [running(), running()]
    into(batch, *members)
    for member in members:
        end(member)

    turn()

    assert len(post_office.taken) == 1


def test_a_batch_that_nobody_wants_to_hear_of_is_left_alone(
    account: Account, completed: Ordering, post_office: MailServer
) -> None:
    into(Batch.objects.create(account=account), completed())

    turn()

    assert post_office.taken == []


def test_who_has_no_address_or_wants_none_gets_nothing(
    alice: User, account: Account, batch: Batch, completed: Ordering, post_office: MailServer
) -> None:
    into(batch, completed())
    wants(account, NEVER)
    turn()
    other = Batch.objects.create(account=account, notify=True)
    into(other, completed())
    wants(account, ALWAYS)
    User.objects.update(email="")
    turn()

    assert post_office.taken == []
    assert [notice.detail for notice in EmailNotification.objects.order_by("id")] == [
        *("the customer wants no e-mail", "the customer has no e-mail address"),
    ]


def test_an_endpoint_that_was_switched_off_is_told_of(
    account: Account, listen: Listen, post_office: MailServer
) -> None:
    wants(account, ALWAYS)
    outbox.record_attempt(outbox.send_test(listen()), outbox.DeliveryAttempt(duration_ms=1, status=410))

    turn()

    assert "It answered 410 Gone." in text_of(post_office.taken[0])


# --- At most once -------------------------------------------------------------------------------------------------


def test_of_two_workers_who_see_a_batch_end_one_notes_it(batch: Batch, completed: Ordering) -> None:
    into(batch, completed())

    assert sorted(race(*[lambda: email.collect_ended_batches(limit=5)] * 4)) == [0, 0, 0, 1]
    assert EmailNotification.objects.count() == 1


@pytest.mark.only_postgresql
def test_without_the_guard_both_would(batch: Batch, completed: Ordering) -> None:
    """The negative control: look, then note. Here a constraint refuses the second."""
    into(batch, completed())
    meeting = threading.Barrier(2)

    def look_and_note() -> None:
        found = Batch.objects.get(notified_at=None)
        meeting.wait(HANG_SECONDS)
        EmailNotification.objects.create(account_id=found.account_id, batch=found, next_attempt_at=Now())

    results = race(look_and_note, look_and_note)

    assert sum(result is None for result in results) == 1
    assert any("batch_id" in str(result) for result in results)


def test_what_the_server_refuses_is_tried_again(batch: Batch, completed: Ordering, post_office: MailServer) -> None:
    into(batch, completed())
    post_office.refuses = 2

    turn()
    notice = EmailNotification.objects.get()
    assert (notice.state, notice.sent_at, post_office.taken) == ("pending", None, [])
    turn()
    turn()
    turn()

    assert len(post_office.taken) == 1
    assert EmailNotification.objects.get().state == "sent"


def test_a_server_that_is_away_is_tried_for_some_hours(
    batch: Batch, completed: Ordering, alice: User, settings
) -> None:
    User.objects.update(email="alice@example.com")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    into(batch, completed())

    taken = [turn() for _ in range(len(email.RETRY_DELAYS_SECONDS) + 2)]

    assert taken == [1] * (len(email.RETRY_DELAYS_SECONDS) + 1) + [0]
    assert (EmailNotification.objects.get().state, EmailNotification.objects.get().detail[:12]) == (
        "given_up",
        "ConnectionRe",
    )


def test_what_may_have_arrived_is_not_sent_again(batch: Batch, completed: Ordering, post_office: MailServer) -> None:
    into(batch, completed())
    post_office.hangs_up = True

    turn()
    post_office.hangs_up = False
    turn()

    assert len(post_office.taken) == 1
    assert EmailNotification.objects.get().detail == "it may have been delivered: SMTPServerDisconnected"


def test_who_slept_through_the_lease_sends_nothing(batch: Batch, completed: Ordering, post_office: MailServer) -> None:
    into(batch, completed())
    email.collect_ended_batches(limit=5)
    (sleeper,) = leases.claim(EmailNotification.objects.to_send(), limit=1, seconds=-1)
    (successor,) = leases.claim(EmailNotification.objects.to_send(), limit=1, seconds=60)

    email.send(sleeper)
    assert post_office.taken == []

    email.send(successor)
    email.send(successor)
    assert len(post_office.taken) == 1


def test_a_mail_that_kills_its_senders_is_given_up(batch: Batch, completed: Ordering, post_office: MailServer) -> None:
    into(batch, completed())
    email.collect_ended_batches(limit=5)
    EmailNotification.objects.update(crashes=leases.CRASHES_MAX)

    turn()

    assert (EmailNotification.objects.get().state, post_office.taken) == ("given_up", [])


# --- The way out --------------------------------------------------------------------------------------------------


@pytest.fixture
def mail(batch: Batch, completed: Ordering, post_office: MailServer) -> EmailMessage:
    into(batch, completed())
    turn()
    return post_office.taken[0]


def test_rfc_8058_one_post_without_login_or_cookie_stops_the_mail(
    mail: EmailMessage, batch: Batch, completed: Ordering, post_office: MailServer
) -> None:
    stranger = Client(enforce_csrf_checks=True)

    answer = stranger.post(way_out(mail), {"List-Unsubscribe": "One-Click"})

    into(Batch.objects.create(account=batch.account, notify=True), completed())
    turn()
    assert (answer.status_code, mail["List-Unsubscribe-Post"]) == (200, "List-Unsubscribe=One-Click")
    assert Subscriber.objects.get().email_preference == NEVER
    assert len(post_office.taken) == 1


def test_looking_at_the_link_stops_nothing(mail: EmailMessage, client: Client) -> None:
    page = client.get(way_out(mail))

    assert "Unsubscribe?" in page.text
    assert Subscriber.objects.get().email_preference == Subscriber.EmailPreference.WHEN_ASKED
    assert way_out(mail) in text_of(mail)


def test_a_link_of_ones_own_making_opens_nothing(mail: EmailMessage, client: Client, bob: User) -> None:
    ticket = way_out(mail).removeprefix("/unsubscribe/").rstrip("/")
    bobs = endpoints.subscriber_of(Account.objects.for_user(bob)).pk.hex
    forged = f"{bobs}:{ticket.partition(':')[2]}"

    answers = [client.post(f"/unsubscribe/{word}/") for word in (forged, "x", ticket[:-1])]

    assert {answer.status_code for answer in answers} == {404}
