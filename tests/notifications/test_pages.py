"""The page of one's notices, and what staff see of them."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credits.models import Account
from generations.models import Retention
from notifications import endpoints, outbox
from notifications.models import EmailNotification, Subscriber, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from tests.fixtures.api import Ordering
from tests.helpers.attack_strings import ATTACKS, LIVE
from tests.notifications.conftest import ELSEWHERE, Listen

pytestmark = [pytest.mark.django_db, pytest.mark.once]
FORM = {"url": ELSEWHERE, "types": ["generation.completed", "credits.low"], "credits_low_at": "50"}


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def secret_on(page: str) -> str:
    found = re.search(r'<code id="secret">(whsec_[^<]+)</code>', page)
    return found[1] if found else ""


def test_a_new_endpoint_shows_its_secret_once(browser: Client) -> None:
    made = browser.post("/notices/endpoints/", FORM)

    endpoint = WebhookEndpoint.objects.get()
    assert secret_on(made.text) == endpoints.current_secret(endpoint)
    assert "no-store" in made["Cache-Control"]
    assert (endpoint.url, endpoint.types, endpoint.credits_low_at) == (ELSEWHERE, FORM["types"], 50)
    assert secret_on(browser.get("/notices/").text) == ""


WRONG = {
    "address": {"url": "http://example.com/"},
    "nothing chosen": {"types": []},
    "threshold": {"credits_low_at": "many"},
    "no threshold": {"credits_low_at": ""},
    "huge threshold": {"credits_low_at": "00000000000199999999999999999999999"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_form_says_why_and_keeps_what_was_typed(browser: Client, wrong: dict[str, object]) -> None:
    page = browser.post("/notices/endpoints/", {**FORM, **wrong})

    assert page.status_code == 422
    assert 'class="alert"' in page.text
    assert f'value="{ {**FORM, **wrong}["url"] }"' in page.text
    assert not WebhookEndpoint.objects.exists()


def test_the_buttons_do_what_they_say(browser: Client, listen: Listen) -> None:
    endpoint = listen()
    said = {}

    for deed in ("test", "off", "test", "on", "rotate", "remove"):
        said[deed] = browser.post(f"/notices/endpoints/{endpoint.pk}/{deed}/", follow=True).text

    endpoint.refresh_from_db()
    assert WebhookDelivery.objects.get().type == "webhook.test"
    assert "is switched off or removed" in said["test"]
    assert secret_on(said["rotate"])
    assert endpoint.deleted_at is not None
    assert ELSEWHERE in said["on"]
    assert browser.post(f"/notices/endpoints/{endpoint.pk}/on/").status_code == 404


def test_what_was_sent_is_shown_with_every_attempt_and_can_be_sent_again(browser: Client, listen: Listen) -> None:
    delivery = outbox.send_test(listen())
    outbox.record_attempt(delivery, outbox.DeliveryAttempt(duration_ms=12, status=418, answer="<b>tea"))
    outbox.abandon(delivery, "failed 10 times")
    address = f"/notices/deliveries/{delivery.pk}/"

    page, given_up = browser.get(address).text, browser.get("/notices/").text
    again = browser.post(f"{address}resend/", follow=True).text

    assert [word in page for word in ("418", "12 ms", "&lt;b&gt;tea")] == [True] * 3
    assert ("Failed" in given_up, "Pending" in again) == (True, True)
    assert WebhookDelivery.objects.get().state == "pending"


def test_how_one_wants_mail_is_ones_own_choice(browser: Client, alice: User) -> None:
    browser.post("/notices/mail/", {"mail": "always"})

    assert Subscriber.objects.get().email_preference == "always"
    assert '<option value="always" selected>' in browser.get("/notices/").text
    assert browser.post("/notices/mail/", {"mail": "by pigeon"}).status_code == 404


def test_the_secret_of_orders_own_addresses_is_shown_when_made_anew(browser: Client) -> None:
    page = browser.post("/notices/secret/").text

    assert secret_on(page) == endpoints.current_secret(Subscriber.objects.get())


def test_what_is_somebody_elses_is_not_there(browser: Client, listen: Listen, bob: User) -> None:
    endpoint = listen(user=bob)
    delivery = outbox.send_test(endpoint)

    answers = [browser.post(f"/notices/endpoints/{endpoint.pk}/{deed}/") for deed in ("test", "rotate", "remove")]
    answers += [browser.get(f"/notices/deliveries/{delivery.pk}/")]
    answers += [browser.post(f"/notices/deliveries/{delivery.pk}/resend/")]

    assert {answer.status_code for answer in answers} == {404}
    assert ELSEWHERE not in browser.get("/notices/").text


def test_strangers_are_asked_to_log_in(client: Client) -> None:
    for address in ("/notices/", "/notices/endpoints/", "/notices/mail/", "/notices/secret/"):
        answer = client.get(address) if address == "/notices/" else client.post(address)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/login/")


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_in_a_form_or_an_answer_is_shown_as_it_came(browser: Client, listen: Listen, attack: str) -> None:
    delivery = outbox.send_test(listen(description=attack))
    outbox.record_attempt(delivery, outbox.DeliveryAttempt(duration_ms=1, status=500, answer=attack.replace("\0", "")))

    pages = [browser.get(f"/notices/deliveries/{delivery.pk}/").text, browser.get("/notices/").text]
    pages.append(browser.post("/notices/endpoints/", {"url": attack, "credits_low_at": attack}).text)

    assert [word for word in LIVE for page in pages if word in page] == []


# --- Staff --------------------------------------------------------------------------------------------------------


def test_k9_staff_see_all_of_it_and_no_secret(client: Client, alice: User, listen: Listen, completed: Ordering) -> None:
    client.force_login(User.objects.create_superuser("chief"))
    endpoint = listen()
    endpoints.rotate_secret(endpoint)
    delivery = outbox.send_test(endpoint)
    outbox.record_attempt(delivery, outbox.DeliveryAttempt(duration_ms=1, status=500))
    generation = completed()
    EmailNotification.objects.create(
        account=generation.account, generation=generation, next_attempt_at=generation.created_at
    )
    rows = [endpoint, delivery, EmailNotification.objects.get(), Subscriber.objects.get()]

    lists = [client.get(f"/admin/notifications/{row._meta.model_name}/") for row in rows]
    pages = [client.get(f"/admin/notifications/{row._meta.model_name}/{row.pk}/change/") for row in rows]

    secrets = [endpoint.salt, endpoint.previous_salt, Subscriber.objects.get().salt]
    assert {answer.status_code for answer in [*lists, *pages]} == {200}
    assert [secret for secret in secrets for answer in [*lists, *pages] if secret in answer.text] == []


@pytest.mark.parametrize("chief, sent", [(True, 200), (False, 403)])
def test_staff_may_send_again_if_they_may(client: Client, listen: Listen, chief: bool, sent: int) -> None:
    client.force_login(User.objects.create_user("sam", is_staff=True, is_superuser=chief))
    delivery = outbox.send_test(listen())
    outbox.abandon(delivery, "test")

    answer = client.post(
        "/admin/notifications/webhookdelivery/", {"action": "resend", "_selected_action": [delivery.pk]}, follow=True
    )

    assert answer.status_code == sent
    assert WebhookDelivery.objects.get().state == ("pending" if sent == 200 else "exhausted")
    assert not WebhookAttempt.objects.exists()


# --- How long things are kept ---


def test_an_owner_says_how_long_things_are_kept(browser: Client, alice: User) -> None:
    page = browser.post("/notices/keeping/", {"days": "1000", "sure": "on"}, follow=True).text

    assert Retention.objects.get(account__user=alice).days == 1000
    assert "1,000 days after its end" in page
    assert 'name="days" min="1" max="3650" value="1000"' in page


def test_nothing_typed_keeps_things_until_they_are_erased(browser: Client, alice: User, bob: User) -> None:
    for user in (alice, bob):
        Retention.objects.create(account=Account.objects.for_user(user), days=3)

    page = browser.post("/notices/keeping/", {"days": ""}, follow=True).text

    assert Retention.objects.get().account.user == bob
    assert 'name="days" min="1" max="3650" value=""' in page


@pytest.mark.parametrize("days", ["0", "-1", "3651", "many", "9" * 5000, "1.5"])
def test_what_is_no_number_of_days_changes_nothing(browser: Client, alice: User, days: str) -> None:
    Retention.objects.create(account=Account.objects.for_user(alice), days=3)

    page = browser.post("/notices/keeping/", {"days": days, "sure": "on"}, follow=True)

    assert 'class="note"' in page.text
    assert Retention.objects.get().days == 3


def test_who_is_not_sure_erases_nothing(browser: Client) -> None:
    page = browser.post("/notices/keeping/", {"days": "3"}, follow=True)

    assert "Please confirm" in page.text
    assert not Retention.objects.exists()
