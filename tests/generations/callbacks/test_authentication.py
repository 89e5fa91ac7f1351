"""Which callbacks are genuine: signature, time, account, token and request id must agree.

Case ids: docs/failure-modes.md, group B.
"""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from generations.models import FalAccount, Generation, Phase, ProviderCallback, Submission
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.clocks import process_clock_ahead
from tests.helpers.web_server import callback_path

pytestmark = pytest.mark.django_db(transaction=True)


def phases(*submissions: Submission) -> list[str]:
    return [Generation.objects.get(pk=submission.generation_id).phase for submission in submissions]


# --- Signature and time ---


def test_b1_a_callback_without_signature_headers_is_rejected_without_a_query(
    client: Client, submitted: Submission, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        response = client.post(callback_path(submitted), b"{}", content_type="application/json")

    assert response.status_code == 401


def test_b2_a_callback_with_one_changed_character_is_rejected(callbacks: CallbackSender, submitted: Submission) -> None:
    body, headers = callbacks.signed(submitted)
    changed = [(headers, body.replace(b"OK", b"KO"))]
    for name in ("Request-Id", "User-Id", "Timestamp", "Signature"):
        value = headers[f"X-Fal-Webhook-{name}"]
        last = "0" if value[-1] != "0" else "1"
        changed.append(({**headers, f"X-Fal-Webhook-{name}": value[:-1] + last}, body))

    answers = [callbacks.post(submitted.pk, submitted.token, body, headers) for headers, body in changed]

    assert answers == [401] * 5
    assert phases(submitted) == [Phase.WAITING]


def test_b6_a_callback_with_a_stale_or_future_timestamp_is_rejected(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    # The exact limit of 300 s is tested with a fixed clock, in tests/generations/fal/test_webhooks.py.
    for off in (-400, 400, -(10**8), 10**8):
        assert callbacks.send(submitted, timestamp=int(time.time()) + off) == 401

    for off in (-200, 200):
        assert callbacks.send(submitted, timestamp=int(time.time()) + off) == 200


@pytest.mark.only_postgresql
def test_e14_a_server_with_a_wrong_clock_has_fal_send_the_callback_again(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    body, headers = callbacks.signed(submitted)

    with process_clock_ahead(timedelta(minutes=1)):
        assert callbacks.post(submitted.pk, submitted.token, body, headers) == 503

    assert not ProviderCallback.objects.exists()
    assert callbacks.post(submitted.pk, submitted.token, body, headers) == 200


# --- Account ---


def test_b3_a_valid_signature_for_another_fal_account_is_rejected(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    assert callbacks.send(submitted, user_id="another-customer") == 401

    assert ProviderCallback.objects.count() == 0


def test_without_fal_user_id_the_first_genuine_callback_pins_the_account(
    settings, callbacks: CallbackSender, submitted: Submission
) -> None:
    settings.FAL_USER_ID = ""

    first = callbacks.send(submitted, user_id="our-account")
    other = callbacks.send(submitted, user_id="another-account")

    assert (first, other) == (200, 401)
    assert FalAccount.objects.get().user_id == "our-account"


def test_a_callback_with_a_wrong_token_pins_no_account(
    settings, callbacks: CallbackSender, submitted: Submission
) -> None:
    settings.FAL_USER_ID = ""
    body, headers = callbacks.signed(submitted, user_id="mallory")

    assert callbacks.post(submitted.pk, "guessed", body, headers) == 404

    assert (FalAccount.objects.count(), ProviderCallback.objects.count()) == (0, 0)


# --- Token and request id ---


def test_b4_header_and_body_must_name_the_same_request(callbacks: CallbackSender, submitted: Submission) -> None:
    body, _ = callbacks.signed(submitted)

    assert callbacks.send(submitted, body, request_id="another-request") == 400


def test_b5_the_token_of_another_generation_is_rejected(
    callbacks: CallbackSender, submitted: Submission, order: PlaceOrder
) -> None:
    other = order().submissions.get()
    body, headers = callbacks.signed(submitted)

    assert callbacks.post(submitted.pk, other.token, body, headers) == 404
    assert callbacks.post(other.pk, other.token, body, headers) == 404
    assert phases(submitted, other) == [Phase.WAITING, Phase.QUEUED]


def test_b5_the_request_of_one_submission_is_rejected_at_the_url_of_another(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost")
    other = order().submissions.get()
    work.submit()

    assert callbacks.send(other, request_id=callbacks.request_id(submitted)) == 404

    assert phases(submitted, other) == [Phase.WAITING, Phase.UNKNOWN]
