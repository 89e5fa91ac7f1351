"""Webhook endpoints, deliveries and secrets in the API."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from rest_framework.test import APIClient

from credits.models import Account
from generations.models import Generation
from notifications import endpoints, outbox
from notifications.models import WebhookDelivery, WebhookEndpoint
from tests.fixtures.api import CAT, GENERATIONS, PlaceOrder, key_of
from tests.helpers.threads import race
from tests.notifications.conftest import PUBLIC_URL, AddEndpoint
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

pytestmark = pytest.mark.django_db
ENDPOINTS, DELIVERIES = "/api/v1/webhook-endpoints/", "/api/v1/webhook-deliveries/"


# --- Secrets --------------------------------------------------------------------------------------------------------


def test_the_secret_is_only_in_the_response_that_creates_the_endpoint(api: APIClient) -> None:
    created = api.post(ENDPOINTS, {"url": PUBLIC_URL})
    secret, url = created.json()["secret"], created["Location"]

    later = [api.get(url), api.get(ENDPOINTS), api.patch(url, {"description": "x"})]

    assert (created.status_code, created["Cache-Control"]) == (201, "no-store")
    assert secret == endpoints.current_secret(WebhookEndpoint.objects.get())
    assert [response.status_code for response in later] == [200, 200, 200]
    assert [secret in response.content.decode() for response in later] == [False] * 3
    assert created.json()["types"] == ["generation.completed", "generation.failed"]


def test_a_rotation_returns_the_new_secret_and_the_end_of_the_old_one(
    api: APIClient, add_endpoint: AddEndpoint
) -> None:
    endpoint = add_endpoint()

    response = api.post(f"{ENDPOINTS}{endpoint.pk}/rotate/")

    endpoint.refresh_from_db()
    assert response.json()["secret"] == endpoints.current_secret(endpoint)
    assert response.json()["previous_until"] == api.get(f"{ENDPOINTS}{endpoint.pk}/").json()["previous_until"]
    assert response["Cache-Control"] == "no-store"


def test_the_secret_of_the_account_is_shown_by_its_rotation_only(api: APIClient, account: Account) -> None:
    assert "secret" not in api.get("/api/v1/webhook-secret/").json()

    response = api.post("/api/v1/webhook-secret/")

    assert response.json()["secret"] == endpoints.current_secret(endpoints.subscriber_of(account))


# --- Creating, changing and removing --------------------------------------------------------------------------------

REFUSED_URLS = [
    *("http://example.com/", "https://10.0.0.1/", "https://user@example.com/", "nonsense", "", "https://ex ample.com"),
    *("https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://1.2.3.0x4/"),
    *("https://limn.test/", "https://api.limn.test/", "https://API.eu.limn.test/"),
    *("http://127.0.0.1:8000/", "https://testserver/", f"https://example.com/{'x' * 2000}", 5, None),
]


@pytest.mark.once
def test_h1_h12_a_url_that_webhooks_may_not_be_sent_to_is_refused(api: APIClient, settings) -> None:
    settings.ALLOWED_HOSTS = ["testserver", ".limn.test"]

    for url in REFUSED_URLS:
        response = api.post(ENDPOINTS, {"url": url})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_input"), url
        assert response.json()["errors"][0]["loc"] == ["url"]
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.once
def test_a_host_that_resembles_limn_or_a_number_is_accepted(api: APIClient, settings) -> None:
    settings.ALLOWED_HOSTS = ["testserver", ".limn.test", "*"]

    for host in ("notlimn.test", "limn.test.example.com", "8.8.8.8", "7.example.com", "x0x7.example"):
        assert api.post(ENDPOINTS, {"url": f"https://{host}/"}).status_code == 201, host


def test_h1_loopback_addresses_are_accepted_only_where_limn_runs_on_one(api: APIClient, settings) -> None:
    assert api.post(ENDPOINTS, {"url": "http://127.0.0.1:9/"}).status_code == 201
    settings.SITE_URL = "https://limn.example.com"

    assert api.post(ENDPOINTS, {"url": "http://127.0.0.1:9/"}).status_code == 422
    assert api.post(ENDPOINTS, {"url": "https://limn.example.com/api/"}).status_code == 422


@pytest.mark.once
def test_an_invalid_body_is_refused(api: APIClient) -> None:
    invalid: list[dict[str, Any]] = [
        *({"types": []}, {"types": ["webhook.test"]}, {"types": ["credits.low"]}, {"types": "credits.low"}),
        *({"credits_low_at": 0}, {"credits_low_at": "5"}, {"secret": "whsec_mine"}, {"description": "x" * 201}),
    ]

    for fields in invalid:
        assert api.post(ENDPOINTS, {"url": PUBLIC_URL, **fields}).json()["code"] == "invalid_input", fields


def test_an_endpoint_can_be_changed_disabled_enabled_and_removed(api: APIClient, add_endpoint: AddEndpoint) -> None:
    url = f"{ENDPOINTS}{add_endpoint().pk}/"

    changed = api.patch(url, {"url": f"{PUBLIC_URL}/2", "types": ["credits.low"], "credits_low_at": 5}).json()
    disabled, enabled = [api.patch(url, {"enabled": value}).json() for value in (False, True)]

    assert (changed["url"], changed["types"], changed["credits_low_at"]) == (f"{PUBLIC_URL}/2", ["credits.low"], 5)
    assert (disabled["enabled"], disabled["disabled_because"]) == (False, "You switched it off.")
    assert enabled["enabled"] is True
    assert api.patch(url, {"credits_low_at": None}).json()["code"] == "invalid_input"
    assert api.patch(url, {"url": "http://example.com/"}).status_code == 422
    assert [api.delete(url).status_code, api.get(url).status_code] == [204, 404]


def test_an_account_has_at_most_twenty_endpoints(api: APIClient, add_endpoint: AddEndpoint) -> None:
    for _ in range(endpoints.ENDPOINTS_MAX):
        add_endpoint()

    assert api.post(ENDPOINTS, {"url": PUBLIC_URL}).json()["code"] == "too_many_endpoints"


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_do_not_exceed_the_limit_together(add_endpoint: AddEndpoint, account: Account) -> None:
    has_lock = threading.Event()
    for _ in range(endpoints.ENDPOINTS_MAX - 1):
        add_endpoint()

    def create() -> str:
        try:
            return str(endpoints.create(account, PUBLIC_URL))
        except endpoints.TooManyEndpoints:
            return "refused"

    def first() -> str:
        with transaction.atomic():
            created = create()
            has_lock.set()
            until(a_lock_is_awaited, what="the second request to wait for the lock")
        return created

    def second() -> str:
        has_lock.wait(HANG_SECONDS)
        return create()

    assert race(first, second) == [PUBLIC_URL, "refused"]


# --- Deliveries -----------------------------------------------------------------------------------------------------


def test_a_test_message_is_listed_with_its_attempts(api: APIClient, add_endpoint: AddEndpoint) -> None:
    endpoint = add_endpoint()

    sent = api.post(f"{ENDPOINTS}{endpoint.pk}/test/")
    attempt = outbox.DeliveryAttempt(duration_ms=12, status=500, answer="oh")
    outbox.record_attempt(WebhookDelivery.objects.get(), attempt)
    delivery = api.get(f"{DELIVERIES}{sent.json()['id']}/").json()

    assert (sent.status_code, sent.json()["type"], sent.json()["state"]) == (202, "webhook.test", "pending")
    assert [(each["status"], each["duration_ms"], each["answer"]) for each in delivery["attempts"]] == [(500, 12, "oh")]
    pending = api.get(DELIVERIES, {"endpoint": str(endpoint.pk), "state": "pending"}).json()["results"]
    assert [each["id"] for each in pending] == [delivery["id"]]
    assert api.get(DELIVERIES, {"state": "delivered"}).json()["results"] == []
    assert [api.get(DELIVERIES, query).status_code for query in ({"colour": "red"}, {"state": ""})] == [400, 400]


def test_an_abandoned_delivery_can_be_sent_again_while_its_endpoint_is_enabled(
    api: APIClient, add_endpoint: AddEndpoint
) -> None:
    endpoint = add_endpoint()
    delivery = outbox.send_test(endpoint)
    outbox.abandon(delivery, "test")
    url = f"{DELIVERIES}{delivery.pk}/resend/"

    resent = api.post(url)
    endpoints.disable(endpoint, "test")

    assert (resent.status_code, resent.json()["state"], resent.json()["detail"]) == (202, "pending", "")
    assert api.post(url).json()["code"] == "endpoint_off"
    assert api.post(f"{ENDPOINTS}{endpoint.pk}/test/").json()["code"] == "endpoint_off"


def test_endpoints_and_deliveries_of_another_user_are_not_found(bob: User, add_endpoint: AddEndpoint) -> None:
    endpoint = add_endpoint()
    delivery = outbox.send_test(endpoint)
    bobs = key_of(bob)
    endpoint_url, delivery_url = f"{ENDPOINTS}{endpoint.pk}/", f"{DELIVERIES}{delivery.pk}/"

    responses = [bobs.get(endpoint_url), bobs.get(delivery_url), bobs.get(f"{ENDPOINTS}{uuid4()}/")]
    responses += [bobs.patch(endpoint_url, {}), bobs.delete(endpoint_url)]
    responses += [bobs.post(f"{endpoint_url}{action}/") for action in ("test", "rotate")]
    responses += [bobs.post(f"{delivery_url}resend/")]

    assert {response.status_code for response in responses} == {404}
    assert [bobs.get(url).json()["results"] for url in (ENDPOINTS, DELIVERIES)] == [[], []]


# --- The URL of an order --------------------------------------------------------------------------------------------


def test_an_order_may_name_a_url(api: APIClient, patient_fal: object) -> None:
    response = api.post(GENERATIONS, {**CAT, "webhook_url": PUBLIC_URL})

    assert response.status_code == 202
    assert Generation.objects.get().webhook_url == PUBLIC_URL


def test_an_order_with_a_refused_url_is_not_placed(api: APIClient, account: Account) -> None:
    response = api.post(GENERATIONS, {**CAT, "webhook_url": "http://example.com/"})

    account.refresh_from_db()
    assert response.json()["errors"][0]["loc"] == ["webhook_url"]
    assert (Generation.objects.count(), account.held) == (0, 0)


def test_a_retry_keeps_the_url(api: APIClient, failed: PlaceOrder, patient_fal: object) -> None:
    generation = failed()
    Generation.objects.update(webhook_url=PUBLIC_URL)

    retry = api.post(f"{GENERATIONS}{generation.pk}/retry/", {})

    assert Generation.objects.get(pk=retry.json()["id"]).webhook_url == PUBLIC_URL
