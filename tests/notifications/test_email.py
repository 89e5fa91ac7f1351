"""E-mails: who receives one, one for a whole batch, at most once, and unsubscribing without a login."""

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
from tests.fixtures.api import PlaceOrder
from tests.helpers.threads import race
from tests.notifications.conftest import AddEndpoint
from tests.notifications.mail_server import MailServer, mail_server
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)
ALWAYS, NEVER = Subscriber.EmailPreference.ALWAYS, Subscriber.EmailPreference.NEVER


@pytest.fixture
def smtp(settings, alice: User) -> Iterator[MailServer]:
    """The mail server that Limn uses. Alice has an e-mail address."""
    User.objects.filter(pk=alice.pk).update(email="alice@example.com")
    with mail_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        yield server


@pytest.fixture
def batch(account: Account) -> Batch:
    """An empty batch of Alice that requests an e-mail."""
    return Batch.objects.create(account=account, notify=True)


def prefer(account: Account, preference: Subscriber.EmailPreference) -> None:
    email.set_preference(endpoints.subscriber_of(account), preference)


def put_into(batch: Batch, *generations: Generation) -> None:
    Generation.objects.filter(pk__in=[generation.pk for generation in generations]).update(batch=batch)


def end(generation: Generation) -> None:
    lifecycle.failed(generation, lifecycle.failure(FailureCode.CANCELLED), actor="test")


def poll() -> int:
    """Sends everything that is pending, also what is due later, and returns how many e-mails that were."""
    EmailNotification.objects.filter(state="pending").update(next_attempt_at=Now(), leased_until=None)
    return mailer.run_once(limit=8)


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body([kind])
    assert part is not None
    return str(part.get_content())


def unsubscribe_path(message: EmailMessage) -> str:
    return re.sub(r"^<http://[^/]+|>$", "", str(message["List-Unsubscribe"]).strip())


# --- Who receives one -----------------------------------------------------------------------------------------------


def test_by_default_an_order_causes_no_email(completed: PlaceOrder, smtp: MailServer) -> None:
    completed()

    poll()

    assert smtp.accepted == []


def test_with_always_every_end_causes_an_email(
    account: Account, completed: PlaceOrder, failed: PlaceOrder, smtp: MailServer
) -> None:
    prefer(account, ALWAYS)
    generation = completed()
    failed()

    poll()

    about_success, about_failure = sorted(smtp.accepted, key=lambda message: str(message["Subject"]))
    assert about_success["To"] == "alice@example.com"
    assert about_success["Subject"].endswith(": completed")
    assert "completed" in text_of(about_success)
    assert f"/generations/{generation.pk}/" in text_of(about_success)
    assert "content policy" in text_of(about_failure)
    assert "<a href=" in text_of(about_success, "html")
    # The prompt is not in it.
    assert "a cat" not in str(about_success)


def test_a_batch_causes_one_email_when_all_of_it_has_ended(
    batch: Batch, completed: PlaceOrder, failed: PlaceOrder, running: PlaceOrder, smtp: MailServer
) -> None:
    last = running()
    put_into(batch, completed(), failed(), last)
    poll()
    assert smtp.accepted == []

    end(last)
    poll()
    poll()

    assert [message["Subject"] for message in smtp.accepted] == ["Limn: 1 of 3 completed"]
    assert Batch.objects.get().notified_at is not None


def test_with_always_a_batch_causes_one_email_too(account: Account, running: PlaceOrder, smtp: MailServer) -> None:
    prefer(account, ALWAYS)
    generations = [running(), running()]
    put_into(Batch.objects.create(account=account), *generations)
    for generation in generations:
        end(generation)

    poll()

    assert len(smtp.accepted) == 1


def test_a_batch_that_requests_no_email_causes_none(account: Account, completed: PlaceOrder, smtp: MailServer) -> None:
    put_into(Batch.objects.create(account=account), completed())

    poll()

    assert smtp.accepted == []


def test_without_an_address_or_with_never_the_email_is_given_up(
    account: Account, batch: Batch, completed: PlaceOrder, smtp: MailServer
) -> None:
    put_into(batch, completed())
    prefer(account, NEVER)
    poll()
    put_into(Batch.objects.create(account=account, notify=True), completed())
    prefer(account, ALWAYS)
    User.objects.update(email="")
    poll()

    assert smtp.accepted == []
    assert [notification.detail for notification in EmailNotification.objects.order_by("id")] == [
        "the customer wants no e-mail",
        "the customer has no e-mail address",
    ]


def test_a_disabled_endpoint_causes_an_email(account: Account, add_endpoint: AddEndpoint, smtp: MailServer) -> None:
    prefer(account, ALWAYS)
    gone = outbox.DeliveryAttempt(duration_ms=1, status=410)
    outbox.record_attempt(outbox.send_test(add_endpoint()), gone)

    poll()

    assert "It answered 410 Gone." in text_of(smtp.accepted[0])


# --- At most once ---------------------------------------------------------------------------------------------------


def test_of_several_workers_that_see_a_batch_end_one_writes_the_email(batch: Batch, completed: PlaceOrder) -> None:
    put_into(batch, completed())

    assert sorted(race(*[lambda: email.collect_ended_batches(limit=5)] * 4)) == [0, 0, 0, 1]
    assert EmailNotification.objects.count() == 1


@pytest.mark.only_postgresql
def test_without_the_condition_both_workers_would_write_it(batch: Batch, completed: PlaceOrder) -> None:
    """The negative control: both read before either writes. Here a constraint refuses the second e-mail."""
    put_into(batch, completed())
    both_have_read = threading.Barrier(2)

    def read_then_write() -> None:
        found = Batch.objects.get(notified_at=None)
        both_have_read.wait(HANG_SECONDS)
        EmailNotification.objects.create(account_id=found.account_id, batch=found, next_attempt_at=Now())

    results = race(read_then_write, read_then_write)

    assert sum(result is None for result in results) == 1
    assert any("batch_id" in str(result) for result in results)


def test_an_email_that_the_server_refuses_is_sent_again(batch: Batch, completed: PlaceOrder, smtp: MailServer) -> None:
    put_into(batch, completed())
    smtp.refusals = 2

    poll()
    notification = EmailNotification.objects.get()
    assert (notification.state, notification.sent_at, smtp.accepted) == ("pending", None, [])
    poll()
    poll()
    poll()

    assert len(smtp.accepted) == 1
    assert EmailNotification.objects.get().state == "sent"


def test_an_email_is_given_up_after_the_last_delay(batch: Batch, completed: PlaceOrder, alice: User, settings) -> None:
    User.objects.update(email="alice@example.com")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    put_into(batch, completed())

    attempts = [poll() for _ in range(len(email.RETRY_DELAYS_SECONDS) + 2)]

    assert attempts == [1] * (len(email.RETRY_DELAYS_SECONDS) + 1) + [0]
    notification = EmailNotification.objects.get()
    assert (notification.state, notification.detail[:12]) == ("given_up", "ConnectionRe")


def test_an_email_that_may_have_been_delivered_is_not_sent_again(
    batch: Batch, completed: PlaceOrder, smtp: MailServer
) -> None:
    put_into(batch, completed())
    smtp.hangs_up = True

    poll()
    smtp.hangs_up = False
    poll()

    assert len(smtp.accepted) == 1
    assert EmailNotification.objects.get().detail == "it may have been delivered: SMTPServerDisconnected"


def test_a_worker_that_lost_its_lease_sends_nothing(batch: Batch, completed: PlaceOrder, smtp: MailServer) -> None:
    put_into(batch, completed())
    email.collect_ended_batches(limit=5)
    (late,) = leases.claim(EmailNotification.objects.to_send(), limit=1, seconds=-1)
    (successor,) = leases.claim(EmailNotification.objects.to_send(), limit=1, seconds=HANG_SECONDS)

    email.send(late)
    assert smtp.accepted == []

    email.send(successor)
    email.send(successor)
    assert len(smtp.accepted) == 1


def test_an_email_that_crashes_its_workers_is_given_up(batch: Batch, completed: PlaceOrder, smtp: MailServer) -> None:
    put_into(batch, completed())
    email.collect_ended_batches(limit=5)
    EmailNotification.objects.update(crashes=leases.CRASHES_MAX)

    poll()

    assert (EmailNotification.objects.get().state, smtp.accepted) == ("given_up", [])


# --- Unsubscribing --------------------------------------------------------------------------------------------------


@pytest.fixture
def message(batch: Batch, completed: PlaceOrder, smtp: MailServer) -> EmailMessage:
    """An e-mail that Alice received."""
    put_into(batch, completed())
    poll()
    return smtp.accepted[0]


def test_one_post_without_login_or_cookie_unsubscribes(
    message: EmailMessage, batch: Batch, completed: PlaceOrder, smtp: MailServer
) -> None:
    """As RFC 8058 requires."""
    mail_program = Client(enforce_csrf_checks=True)

    response = mail_program.post(unsubscribe_path(message), {"List-Unsubscribe": "One-Click"})

    put_into(Batch.objects.create(account=batch.account, notify=True), completed())
    poll()
    assert (response.status_code, message["List-Unsubscribe-Post"]) == (200, "List-Unsubscribe=One-Click")
    assert Subscriber.objects.get().email_preference == NEVER
    assert len(smtp.accepted) == 1


def test_opening_the_link_does_not_unsubscribe(message: EmailMessage, client: Client) -> None:
    page = client.get(unsubscribe_path(message))

    assert "Unsubscribe?" in page.text
    assert Subscriber.objects.get().email_preference == Subscriber.EmailPreference.WHEN_ASKED
    assert unsubscribe_path(message) in text_of(message)


def test_a_forged_token_is_not_found(message: EmailMessage, client: Client, bob: User) -> None:
    token = unsubscribe_path(message).removeprefix("/unsubscribe/").rstrip("/")
    bobs_id = endpoints.subscriber_of(Account.objects.for_user(bob)).pk.hex
    forged = f"{bobs_id}:{token.partition(':')[2]}"

    responses = [client.post(f"/unsubscribe/{wrong}/") for wrong in (forged, "x", token[:-1])]

    assert {response.status_code for response in responses} == {404}
