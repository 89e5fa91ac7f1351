"""Webhook messages: their contents, and their signatures as the library of Standard Webhooks verifies them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from generations.models import Generation, Output
from notifications import endpoints, payloads
from notifications.models import Subscriber, WebhookDelivery, WebhookEndpoint
from notifications.payloads import Message
from tests.fixtures.api import PlaceOrder
from tests.helpers.clocks import just_passed
from tests.notifications.conftest import AddEndpoint

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def delivery(add_endpoint: AddEndpoint, completed: PlaceOrder) -> WebhookDelivery:
    """The delivery about a completed generation with two images."""
    add_endpoint()
    completed(num_images=2)
    return WebhookDelivery.objects.get()


def build(delivery: WebhookDelivery) -> Message:
    return payloads.build(delivery, now=timezone.now())


def is_valid(secret: str, message: Message) -> bool:
    try:
        Webhook(secret).verify(message.body, dict(message.headers))
    except WebhookVerificationError:
        return False
    return True


def endpoint_of(delivery: WebhookDelivery) -> WebhookEndpoint:
    return WebhookEndpoint.objects.get(deliveries=delivery)


# --- Signatures -----------------------------------------------------------------------------------------------------


def test_the_library_verifies_a_message(delivery: WebhookDelivery) -> None:
    message = build(delivery)
    secret = endpoints.current_secret(endpoint_of(delivery))

    contents = Webhook(secret).verify(message.body, dict(message.headers))

    assert (contents["type"], contents["data"]["id"]) == ("generation.completed", str(delivery.generation_id))
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32


def test_h10_another_body_id_or_secret_is_not_valid(delivery: WebhookDelivery) -> None:
    message, secret = build(delivery), endpoints.current_secret(endpoint_of(delivery))
    another_body = Message(url="", body=message.body + b" ", headers=message.headers)
    another_id = Message(url="", body=message.body, headers={**message.headers, "webhook-id": "msg_1"})
    another_secret = endpoints.current_secret(Subscriber())

    assert is_valid(secret, message)
    assert not is_valid(secret, another_body)
    assert not is_valid(secret, another_id)
    assert not is_valid(another_secret, message)


def test_the_library_signs_as_the_specification_says() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the example of the library
    body = '{"test": 2432232314}'

    signature = Webhook(secret).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), body)

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_h9_for_a_day_after_a_rotation_both_secrets_are_valid(delivery: WebhookDelivery) -> None:
    endpoint = endpoint_of(delivery)
    old, new = endpoints.current_secret(endpoint), endpoints.rotate_secret(endpoint)
    delivery.refresh_from_db()

    message = build(delivery)
    assert message.headers["webhook-signature"].count("v1,") == 2
    assert (is_valid(old, message), is_valid(new, message)) == (True, True)

    WebhookEndpoint.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    delivery.refresh_from_db()
    assert (is_valid(old, build(delivery)), is_valid(new, build(delivery))) == (False, True)


def test_the_table_does_not_contain_the_secret(delivery: WebhookDelivery) -> None:
    secret = endpoints.current_secret(endpoint_of(delivery))

    row = str(WebhookEndpoint.objects.values().get())

    assert secret not in row
    assert secret.removeprefix("whsec_") not in row


def test_after_a_change_of_secret_key_the_old_secrets_are_still_valid(delivery: WebhookDelivery, settings) -> None:
    secret = endpoints.current_secret(endpoint_of(delivery))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 9

    assert is_valid(secret, build(delivery))


def test_a_message_to_the_url_of_an_order_is_signed_for_the_account(failed: PlaceOrder) -> None:
    generation = failed()
    delivery = WebhookDelivery.objects.create(
        url="https://example.com/",
        account=generation.account,
        generation=generation,
        type="generation.failed",
        next_attempt_at=just_passed(),
    )

    secret = endpoints.rotate_secret(endpoints.subscriber_of(generation.account))

    assert is_valid(secret, build(delivery))


# --- Contents -------------------------------------------------------------------------------------------------------


def test_h13_a_message_contains_ids_and_expiring_urls_and_no_inputs(delivery: WebhookDelivery) -> None:
    Generation.objects.update(
        input={"prompt": "a secret cat"}, metadata={"project": "hush"}, details={"description": "a cat"}
    )
    delivery.refresh_from_db()

    contents = json.loads(build(delivery).body)
    data = contents["data"]

    assert set(data) == {*("id", "batch", "model", "kind", "urls", "outputs", "status", "phase", "version")}
    assert (data["status"], len(data["outputs"])) == ("completed", 2)
    assert all(file["url"].startswith("http") and file["url_expires_at"] for file in data["outputs"])
    assert "cat" not in str(contents)
    assert "hush" not in str(contents)


def test_a_failure_is_reported_with_its_code(add_endpoint: AddEndpoint, failed: PlaceOrder) -> None:
    add_endpoint()
    failed()

    data = json.loads(build(WebhookDelivery.objects.get()).body)["data"]

    assert data["error"] == {"code": "content_policy", "retryable": False}


def test_a_message_has_at_most_twenty_thousand_bytes(delivery: WebhookDelivery) -> None:
    output = Output.objects.all()[0]
    for index in range(10, 110):
        output.pk, output.index, output._state.adding = Output().pk, index, True
        output.save()

    message = build(delivery)

    assert len(message.body) < payloads.BODY_BYTES_MAX
    data = json.loads(message.body)["data"]
    assert (data["outputs"], data["outputs_omitted"]) == ([], True)
