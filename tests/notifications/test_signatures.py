"""What a webhook says and how it is signed, checked by Standard Webhooks' own library."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from generations.models import Generation, Output
from notifications import endpoints, payloads
from notifications.models import Subscriber, WebhookDelivery, WebhookEndpoint
from tests.fixtures.api import Ordering
from tests.notifications.conftest import Listen

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def delivery(listen: Listen, completed: Ordering) -> WebhookDelivery:
    listen()
    completed(num_images=2)
    return WebhookDelivery.objects.get()


def write(delivery: WebhookDelivery) -> payloads.Message:
    return payloads.build(delivery, now=timezone.now())


def opens(secret: str, message: payloads.Message) -> bool:
    try:
        Webhook(secret).verify(message.body, dict(message.headers))
    except WebhookVerificationError:
        return False
    return True


def endpoint_of(delivery: WebhookDelivery) -> WebhookEndpoint:
    return WebhookEndpoint.objects.get(deliveries=delivery)


def test_the_librarys_own_check_passes(delivery: WebhookDelivery) -> None:
    message = write(delivery)
    secret = endpoints.current_secret(endpoint_of(delivery))

    said = Webhook(secret).verify(message.body, dict(message.headers))

    assert (said["type"], said["data"]["id"]) == ("generation.completed", str(delivery.generation_id))
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32


def test_h10_another_body_secret_or_id_does_not_pass(delivery: WebhookDelivery) -> None:
    message, secret = write(delivery), endpoints.current_secret(endpoint_of(delivery))
    others = [
        payloads.Message(url="", body=message.body + b" ", headers=message.headers),
        payloads.Message(url="", body=message.body, headers={**message.headers, "webhook-id": "msg_1"}),
    ]

    assert [opens(secret, other) for other in others] == [False, False]
    assert not opens(endpoints.current_secret(Subscriber()), message)


def test_a_frozen_vector_is_signed_as_the_specification_has_it() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the library's own example
    body = '{"test": 2432232314}'

    signature = Webhook(secret).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), body)

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_h9_for_a_day_after_a_rotation_both_secrets_open(delivery: WebhookDelivery) -> None:
    endpoint = endpoint_of(delivery)
    before, after = endpoints.current_secret(endpoint), endpoints.rotate_secret(endpoint)
    delivery.refresh_from_db()

    message = write(delivery)
    assert message.headers["webhook-signature"].count("v1,") == 2
    assert (opens(before, message), opens(after, message)) == (True, True)

    WebhookEndpoint.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    delivery.refresh_from_db()
    assert (opens(before, write(delivery)), opens(after, write(delivery))) == (False, True)


def test_the_table_holds_nothing_that_signs(delivery: WebhookDelivery) -> None:
    secret = endpoints.current_secret(endpoint_of(delivery))

    row = str(WebhookEndpoint.objects.values().get())

    assert secret not in row
    assert secret.removeprefix("whsec_") not in row


def test_a_changed_secret_key_signs_with_the_old_one_too(delivery: WebhookDelivery, settings) -> None:
    known = endpoints.current_secret(endpoint_of(delivery))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 9

    assert opens(known, write(delivery))


def test_an_orders_own_address_is_signed_with_the_customers_secret(alice: User, failed: Ordering) -> None:
    generation = failed()
    row = {"account": generation.account, "generation": generation, "type": "generation.failed"}
    delivery = WebhookDelivery.objects.create(url="https://example.com/", next_attempt_at=timezone.now(), **row)

    secret = endpoints.rotate_secret(endpoints.subscriber_of(generation.account))

    assert opens(secret, write(delivery))


# --- What is in it ------------------------------------------------------------------------------------------------


def test_h13_it_names_ids_and_addresses_that_lapse_and_nothing_that_was_asked(delivery: WebhookDelivery) -> None:
    Generation.objects.update(
        input={"prompt": "a secret cat"}, metadata={"project": "hush"}, details={"description": "a cat"}
    )
    delivery.refresh_from_db()

    said = json.loads(write(delivery).body)
    data = said["data"]

    assert set(data) == {*("id", "batch", "model", "kind", "urls", "outputs", "status", "phase", "version")}
    assert (data["status"], len(data["outputs"])) == ("completed", 2)
    assert all(file["url"].startswith("http") and file["url_expires_at"] for file in data["outputs"])
    assert "cat" not in str(said)
    assert "hush" not in str(said)


def test_a_failure_is_told_with_its_code(listen: Listen, failed: Ordering) -> None:
    listen()
    failed()

    data = json.loads(write(WebhookDelivery.objects.get()).body)["data"]

    assert data["error"] == {"code": "content_policy", "retryable": False}


def test_it_never_has_more_than_twenty_thousand_bytes(delivery: WebhookDelivery) -> None:
    model = Output.objects.all()[0]
    for index in range(10, 110):
        model.pk, model.index, model._state.adding = None, index, True
        model.id = Output().id
        model.save()

    message = write(delivery)

    assert len(message.body) < payloads.BODY_BYTES_MAX
    assert json.loads(message.body)["data"]["outputs_omitted"] is True
