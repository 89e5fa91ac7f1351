"""Endpoints, deliveries and secrets by the API."""

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
from tests.fixtures.api import CAT, GENERATIONS, Ordering, key_of
from tests.helpers.threads import race
from tests.notifications.conftest import ELSEWHERE, Listen
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

pytestmark = pytest.mark.django_db
ENDPOINTS, DELIVERIES = "/api/v1/webhook-endpoints/", "/api/v1/webhook-deliveries/"


def test_the_secret_is_shown_when_it_is_made_and_never_again(api: APIClient) -> None:
    made = api.post(ENDPOINTS, {"url": ELSEWHERE})
    secret = made.json()["secret"]

    later = [api.get(made["Location"]), api.get(ENDPOINTS), api.patch(made["Location"], {"description": "x"})]

    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    assert secret == endpoints.current_secret(WebhookEndpoint.objects.get())
    assert [answer.status_code for answer in later] == [200, 200, 200]
    assert [secret in answer.content.decode() for answer in later] == [False] * 3
    assert made.json()["types"] == ["generation.completed", "generation.failed"]


def test_a_rotation_shows_the_new_one_and_says_how_long_the_old_holds(api: APIClient, listen: Listen) -> None:
    endpoint = listen()

    answer = api.post(f"{ENDPOINTS}{endpoint.pk}/rotate/")

    endpoint.refresh_from_db()
    assert answer.json()["secret"] == endpoints.current_secret(endpoint)
    assert answer.json()["previous_until"] == api.get(f"{ENDPOINTS}{endpoint.pk}/").json()["previous_until"]
    assert answer["Cache-Control"] == "no-store"


def test_the_secret_of_orders_own_addresses_is_read_by_making_it_anew(api: APIClient, account: Account) -> None:
    assert "secret" not in api.get("/api/v1/webhook-secret/").json()

    answer = api.post("/api/v1/webhook-secret/")

    assert answer.json()["secret"] == endpoints.current_secret(endpoints.subscriber_of(account))


BAD = [
    *("http://example.com/", "https://10.0.0.1/", "https://user@example.com/", "nonsense", "", "https://ex ample.com"),
    *("https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://1.2.3.0x4/"),
    *("https://limn.test/", "https://api.limn.test/", "https://API.eu.limn.test/"),
    *("http://127.0.0.1:8000/", "https://testserver/", f"https://example.com/{'x' * 2000}", 5, None),
]


@pytest.mark.once
@pytest.mark.parametrize("url", BAD, ids=[str(url)[:30] for url in BAD])
def test_h1_h12_where_webhooks_cannot_go_is_said_at_once(api: APIClient, settings, url: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver", ".limn.test"]

    answer = api.post(ENDPOINTS, {"url": url})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["errors"][0]["loc"] == ["url"]
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize("host", ["notlimn.test", "limn.test.example.com", "8.8.8.8", "7.example.com", "x0x7.example"])
def test_a_host_that_only_looks_like_ours_or_like_a_number_may_be_told(api: APIClient, settings, host: str) -> None:
    settings.ALLOWED_HOSTS = ["testserver", ".limn.test", "*"]

    assert api.post(ENDPOINTS, {"url": f"https://{host}/"}).status_code == 201


def test_h1_loopback_is_for_those_alone_whose_limn_lives_there(api: APIClient, settings) -> None:
    assert api.post(ENDPOINTS, {"url": "http://127.0.0.1:9/"}).status_code == 201
    settings.SITE_URL = "https://limn.example.com"

    assert api.post(ENDPOINTS, {"url": "http://127.0.0.1:9/"}).status_code == 422
    assert api.post(ENDPOINTS, {"url": "https://limn.example.com/api/"}).status_code == 422


@pytest.mark.once
@pytest.mark.parametrize(
    "wrong",
    [
        *({"types": []}, {"types": ["webhook.test"]}, {"types": ["credits.low"]}, {"types": "credits.low"}),
        *({"credits_low_at": 0}, {"credits_low_at": "5"}, {"secret": "whsec_mine"}, {"description": "x" * 201}),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(api: APIClient, wrong: dict[str, Any]) -> None:
    assert api.post(ENDPOINTS, {"url": ELSEWHERE, **wrong}).json()["code"] == "invalid_input"


def test_it_can_be_changed_switched_off_and_on_and_removed(api: APIClient, listen: Listen) -> None:
    address = f"{ENDPOINTS}{listen().pk}/"

    changed = api.patch(address, {"url": f"{ELSEWHERE}/2", "types": ["credits.low"], "credits_low_at": 5}).json()
    off, on = [api.patch(address, {"enabled": enabled}).json() for enabled in (False, True)]

    assert (changed["url"], changed["types"], changed["credits_low_at"]) == (f"{ELSEWHERE}/2", ["credits.low"], 5)
    assert (off["enabled"], off["disabled_because"], on["enabled"]) == (False, "You switched it off.", True)
    assert api.patch(address, {"credits_low_at": None}).json()["code"] == "invalid_input"
    assert api.patch(address, {"url": "http://example.com/"}).status_code == 422
    assert [api.delete(address).status_code, api.get(address).status_code] == [204, 404]


def test_there_are_no_more_than_twenty(api: APIClient, listen: Listen) -> None:
    for _ in range(endpoints.ENDPOINTS_MAX):
        listen()

    assert api.post(ENDPOINTS, {"url": ELSEWHERE}).json()["code"] == "too_many_endpoints"


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_nor_when_one_is_made_while_another_is(listen: Listen, account: Account) -> None:
    holding = threading.Event()
    for _ in range(endpoints.ENDPOINTS_MAX - 1):
        listen()

    def add() -> str:
        try:
            return str(endpoints.create(account, ELSEWHERE))
        except endpoints.TooManyEndpoints:
            return "refused"

    def first() -> str:
        with transaction.atomic():
            added = add()
            holding.set()
            until(a_lock_is_awaited, what="the other one to wait")
        return added

    def second() -> str:
        holding.wait(HANG_SECONDS)
        return add()

    assert race(first, second) == [ELSEWHERE, "refused"]


def test_the_test_button_sends_and_the_log_tells(api: APIClient, listen: Listen) -> None:
    endpoint = listen()

    sent = api.post(f"{ENDPOINTS}{endpoint.pk}/test/")
    outbox.record_attempt(
        WebhookDelivery.objects.get(), outbox.DeliveryAttempt(duration_ms=12, status=500, answer="oh")
    )
    one = api.get(f"{DELIVERIES}{sent.json()['id']}/").json()

    assert (sent.status_code, sent.json()["type"], sent.json()["state"]) == (202, "webhook.test", "pending")
    assert [(each["status"], each["duration_ms"], each["answer"]) for each in one["attempts"]] == [(500, 12, "oh")]
    assert (
        api.get(DELIVERIES, {"endpoint": str(endpoint.pk), "state": "pending"}).json()["results"][0]["id"] == one["id"]
    )
    assert api.get(DELIVERIES, {"state": "delivered"}).json()["results"] == []
    assert api.get(DELIVERIES, {"colour": "red"}).status_code == 400


def test_what_was_given_up_can_be_sent_again_unless_nobody_listens(api: APIClient, listen: Listen) -> None:
    endpoint = listen()
    delivery = outbox.send_test(endpoint)
    outbox.abandon(delivery, "test")
    address = f"{DELIVERIES}{delivery.pk}/resend/"

    again = api.post(address)
    endpoints.disable(endpoint, "test")

    assert (again.status_code, again.json()["state"], again.json()["detail"]) == (202, "pending", "")
    assert api.post(address).json()["code"] == "endpoint_off"
    assert api.post(f"{ENDPOINTS}{endpoint.pk}/test/").json()["code"] == "endpoint_off"


def test_what_is_somebody_elses_is_not_there(bob: User, listen: Listen) -> None:
    endpoint = listen()
    delivery = outbox.send_test(endpoint)
    bobs = key_of(bob)
    addresses = [f"{ENDPOINTS}{endpoint.pk}/", f"{DELIVERIES}{delivery.pk}/"]

    answers = [getattr(bobs, verb)(address) for address in addresses for verb in ("get",)]
    answers += [bobs.patch(addresses[0], {}), bobs.delete(addresses[0]), bobs.get(f"{ENDPOINTS}{uuid4()}/")]
    answers += [bobs.post(f"{ENDPOINTS}{endpoint.pk}/{deed}/") for deed in ("test", "rotate")]
    answers += [bobs.post(f"{DELIVERIES}{delivery.pk}/resend/")]

    assert {answer.status_code for answer in answers} == {404}
    assert [bobs.get(address).json()["results"] for address in (ENDPOINTS, DELIVERIES)] == [[], []]


# --- An order's own address ---------------------------------------------------------------------------------------


def test_an_order_may_name_an_address_of_its_own(api: APIClient, patient_fal: object) -> None:
    made = api.post(GENERATIONS, {**CAT, "webhook_url": ELSEWHERE})

    assert made.status_code == 202
    assert Generation.objects.get().webhook_url == ELSEWHERE


def test_one_that_cannot_be_told_orders_nothing(api: APIClient, account: Account) -> None:
    answer = api.post(GENERATIONS, {**CAT, "webhook_url": "http://example.com/"})

    account.refresh_from_db()
    assert answer.json()["errors"][0]["loc"] == ["webhook_url"]
    assert (Generation.objects.count(), account.held) == (0, 0)


def test_a_retry_tells_the_same_address(api: APIClient, failed: Ordering, patient_fal: object) -> None:
    generation = failed()
    Generation.objects.update(webhook_url=ELSEWHERE)

    again = api.post(f"{GENERATIONS}{generation.pk}/retry/", {})

    assert Generation.objects.get(pk=again.json()["id"]).webhook_url == ELSEWHERE
