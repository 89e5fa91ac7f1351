"""The page of notifications, and what staff see of notifications in the admin."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from notifications import endpoints, outbox
from notifications.models import EmailNotification, Subscriber, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from tests.fixtures.api import PlaceOrder
from tests.helpers.attack_strings import ATTACKS, LIVE
from tests.notifications.conftest import PUBLIC_URL, AddEndpoint

pytestmark = [pytest.mark.django_db, pytest.mark.once]
FORM = {"url": PUBLIC_URL, "types": ["generation.completed", "credits.low"], "credits_low_at": "50"}


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def shown_secret(page: str) -> str:
    found = re.search(r'<code id="secret">(whsec_[^<]+)</code>', page)
    return found[1] if found else ""


# --- Endpoints ------------------------------------------------------------------------------------------------------


def test_the_secret_of_a_new_endpoint_is_shown_once(browser: Client) -> None:
    response = browser.post("/notices/endpoints/", FORM)

    endpoint = WebhookEndpoint.objects.get()
    assert shown_secret(response.text) == endpoints.current_secret(endpoint)
    assert "no-store" in response["Cache-Control"]
    assert (endpoint.url, endpoint.types, endpoint.credits_low_at) == (PUBLIC_URL, FORM["types"], 50)
    assert shown_secret(browser.get("/notices/").text) == ""


def test_a_refused_form_shows_the_reason_and_keeps_the_url(browser: Client) -> None:
    wrong: list[dict[str, object]] = [
        {"url": "http://example.com/"},
        {"types": []},
        {"credits_low_at": "many"},
        {"credits_low_at": ""},
        {"credits_low_at": "00000000000199999999999999999999999"},
    ]

    for fields in wrong:
        form = {**FORM, **fields}
        page = browser.post("/notices/endpoints/", form)
        assert page.status_code == 422, fields
        assert 'class="alert"' in page.text
        assert f'value="{form["url"]}"' in page.text
    assert not WebhookEndpoint.objects.exists()


def test_each_button_of_an_endpoint_does_what_it_says(browser: Client, add_endpoint: AddEndpoint) -> None:
    endpoint = add_endpoint()
    pages = {}

    for action in ("test", "off", "test", "on", "rotate", "remove"):
        pages[action] = browser.post(f"/notices/endpoints/{endpoint.pk}/{action}/", follow=True).text

    endpoint.refresh_from_db()
    assert WebhookDelivery.objects.get().type == "webhook.test"
    # The second test, when the endpoint was off.
    assert "is switched off or removed" in pages["test"]
    assert shown_secret(pages["rotate"])
    assert endpoint.deleted_at is not None
    assert PUBLIC_URL in pages["on"]
    assert browser.post(f"/notices/endpoints/{endpoint.pk}/on/").status_code == 404


def test_an_unknown_action_is_not_found(browser: Client, add_endpoint: AddEndpoint) -> None:
    assert browser.post(f"/notices/endpoints/{add_endpoint().pk}/explode/").status_code == 404


def test_a_rotation_shows_the_new_secret_of_the_account(browser: Client) -> None:
    page = browser.post("/notices/secret/").text

    assert shown_secret(page) == endpoints.current_secret(Subscriber.objects.get())


# --- Deliveries and e-mail ------------------------------------------------------------------------------------------


def test_a_delivery_is_shown_with_its_attempts_and_can_be_sent_again(
    browser: Client, add_endpoint: AddEndpoint
) -> None:
    delivery = outbox.send_test(add_endpoint())
    outbox.record_attempt(delivery, outbox.DeliveryAttempt(duration_ms=12, status=418, answer="<b>tea"))
    outbox.abandon(delivery, "failed 10 times")
    url = f"/notices/deliveries/{delivery.pk}/"

    page, abandoned = browser.get(url).text, browser.get("/notices/").text
    resent = browser.post(f"{url}resend/", follow=True).text

    assert [text in page for text in ("418", "12 ms", "&lt;b&gt;tea")] == [True] * 3
    assert ("Failed" in abandoned, "Pending" in resent) == (True, True)
    assert WebhookDelivery.objects.get().state == "pending"


def test_the_email_preference_is_stored_and_shown(browser: Client) -> None:
    browser.post("/notices/mail/", {"mail": "always"})

    assert Subscriber.objects.get().email_preference == "always"
    assert '<option value="always" selected>' in browser.get("/notices/").text
    assert browser.post("/notices/mail/", {"mail": "by pigeon"}).status_code == 404


# --- Access and safety ----------------------------------------------------------------------------------------------


def test_endpoints_and_deliveries_of_another_user_are_not_found(
    browser: Client, add_endpoint: AddEndpoint, bob: User
) -> None:
    endpoint = add_endpoint(user=bob)
    delivery = outbox.send_test(endpoint)

    responses = [browser.post(f"/notices/endpoints/{endpoint.pk}/{action}/") for action in ("test", "rotate", "remove")]
    responses += [browser.get(f"/notices/deliveries/{delivery.pk}/")]
    responses += [browser.post(f"/notices/deliveries/{delivery.pk}/resend/")]

    assert {response.status_code for response in responses} == {404}
    assert PUBLIC_URL not in browser.get("/notices/").text


def test_without_a_login_every_page_leads_to_the_login(client: Client) -> None:
    responses = [client.get("/notices/")]
    responses += [client.post(f"/notices/{path}") for path in ("endpoints/", "mail/", "secret/")]

    for response in responses:
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")


def test_attack_strings_in_forms_and_responses_are_shown_as_text(browser: Client, add_endpoint: AddEndpoint) -> None:
    for attack in ATTACKS:
        delivery = outbox.send_test(add_endpoint(description=attack))
        attempt = outbox.DeliveryAttempt(duration_ms=1, status=500, answer=attack.replace("\0", ""))
        outbox.record_attempt(delivery, attempt)

        pages = [browser.get(f"/notices/deliveries/{delivery.pk}/").text, browser.get("/notices/").text]
        pages.append(browser.post("/notices/endpoints/", {"url": attack, "credits_low_at": attack}).text)

        assert [live for live in LIVE for page in pages if live in page] == [], attack


# --- Staff ----------------------------------------------------------------------------------------------------------


def test_k9_staff_see_everything_but_secrets(
    client: Client, alice: User, add_endpoint: AddEndpoint, completed: PlaceOrder
) -> None:
    client.force_login(User.objects.create_superuser("chief"))
    endpoint = add_endpoint()
    endpoints.rotate_secret(endpoint)
    delivery = outbox.send_test(endpoint)
    outbox.record_attempt(delivery, outbox.DeliveryAttempt(duration_ms=1, status=500))
    generation = completed()
    notification = EmailNotification.objects.create(
        account=generation.account, generation=generation, next_attempt_at=timezone.now()
    )
    subscriber = Subscriber.objects.get()
    pages = []
    for row in (endpoint, delivery, notification, subscriber):
        model = f"/admin/notifications/{row._meta.model_name}/"
        pages += [client.get(model), client.get(f"{model}{row.pk}/change/")]

    assert [page.status_code for page in pages] == [200] * 8
    secrets = [endpoint.salt, endpoint.previous_salt, subscriber.salt]
    assert [secret for secret in secrets for page in pages if secret in page.text] == []


@pytest.mark.parametrize("is_permitted", [True, False])
def test_only_permitted_staff_may_send_a_delivery_again(
    client: Client, add_endpoint: AddEndpoint, is_permitted: bool
) -> None:
    client.force_login(User.objects.create_user("sam", is_staff=True, is_superuser=is_permitted))
    delivery = outbox.send_test(add_endpoint())
    outbox.abandon(delivery, "test")

    response = client.post(
        "/admin/notifications/webhookdelivery/", {"action": "resend", "_selected_action": [delivery.pk]}, follow=True
    )

    assert response.status_code == (200 if is_permitted else 403)
    assert WebhookDelivery.objects.get().state == ("pending" if is_permitted else "exhausted")
    assert not WebhookAttempt.objects.exists()
