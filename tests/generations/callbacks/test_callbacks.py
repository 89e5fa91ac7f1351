"""Genuine and false callbacks of fal. Case ids: docs/failure-modes.md, group B."""

from __future__ import annotations

import json
import threading
import time

import pytest
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from credits.models import Account, Entry
from generations.models import FailureCode, FalAccount, Generation, Phase, ProviderCallback, Status, Submission
from generations.provider import clients
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender

pytestmark = pytest.mark.django_db(transaction=True)


def stored_answer(submission: Submission) -> Phase:
    return Phase(Generation.objects.get(pk=submission.generation_id).phase)


def test_a_true_callback_is_heard(callbacks: CallbackSender, submitted: Submission) -> None:
    assert callbacks.send(submitted) == 200

    assert stored_answer(submitted) == Phase.STORING
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.APPLIED


@pytest.mark.parametrize("slash", ["", "/"])
def test_b38_with_or_without_the_slash_there_is_no_redirect(
    slash: str, callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    body = fal.callback_body(callbacks.request_id(submitted))
    headers = fal.sign(body, request_id=callbacks.request_id(submitted))

    assert callbacks.post(submitted.pk, submitted.token, body, headers, slash=slash) == 200


def test_b1_without_signature_headers_the_database_is_not_touched(
    client: Client, submitted: Submission, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        response = client.post(f"/hooks/fal/{submitted.pk}/{submitted.token}", b"{}", content_type="application/json")

    assert response.status_code == 401


@pytest.mark.parametrize("flip", ["Request-Id", "User-Id", "Timestamp", "Signature", "body"])
def test_b2_one_changed_character_anywhere_is_refused(
    flip: str, callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    request_id = callbacks.request_id(submitted)
    body = fal.callback_body(request_id)
    headers = fal.sign(body, request_id=request_id)
    if flip == "body":
        body = body.replace(b"OK", b"KO")
    else:
        value = headers[f"X-Fal-Webhook-{flip}"]
        headers[f"X-Fal-Webhook-{flip}"] = value[:-1] + ("0" if value[-1] != "0" else "1")

    assert callbacks.post(submitted.pk, submitted.token, body, headers) == 401
    assert stored_answer(submitted) == Phase.WAITING


def test_b3_a_true_signature_for_another_fal_account_is_refused(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    assert callbacks.send(submitted, user_id="another-customer") == 401

    assert ProviderCallback.objects.count() == 0


def test_b4_a_header_that_names_another_request_than_the_body_is_refused(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    body = fal.callback_body(callbacks.request_id(submitted))

    assert callbacks.send(submitted, body, request_id="another-request") == 400


def test_b5_the_token_of_another_generation_opens_nothing(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission, order: PlaceOrder, work: Work
) -> None:
    other = order().submissions.get()
    body = fal.callback_body(callbacks.request_id(submitted))
    headers = fal.sign(body, request_id=callbacks.request_id(submitted))

    assert callbacks.post(submitted.pk, other.token, body, headers) == 404
    assert callbacks.post(other.pk, other.token, body, headers) == 404
    assert (stored_answer(submitted), stored_answer(other)) == (Phase.WAITING, Phase.QUEUED)


def test_b5_a_request_of_one_attempt_is_not_believed_for_another(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission, order: PlaceOrder, work: Work
) -> None:
    fal.script("drop_after_accept", "callback:lost")
    other = order().submissions.get()
    work.submit()

    assert callbacks.send(other, request_id=callbacks.request_id(submitted)) == 404

    assert (stored_answer(submitted), stored_answer(other)) == (Phase.WAITING, Phase.UNKNOWN)


@pytest.mark.parametrize("off", [-400, 400, -(10**8), 10**8])
def test_b6_a_stale_or_early_timestamp_is_refused(off: int, callbacks: CallbackSender, submitted: Submission) -> None:
    assert callbacks.send(submitted, timestamp=int(time.time()) + off) == 401


# The exact limit of 300 s is tested with a fixed clock, in tests/generations/fal/test_webhooks.py.
@pytest.mark.parametrize("off", [-200, 200])
def test_b6_a_timestamp_within_tolerance_is_accepted(
    off: int, callbacks: CallbackSender, submitted: Submission
) -> None:
    assert callbacks.send(submitted, timestamp=int(time.time()) + off) == 200


def test_a_stale_delivery_makes_us_ask_fal(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission, work: Work
) -> None:
    fal.finish(callbacks.request_id(submitted))
    Generation.objects.update(next_attempt_at="2999-01-01T00:00:00Z")

    callbacks.send(submitted, timestamp=1)

    assert Generation.objects.to_reconcile().count() == 1


def test_b7_a_replay_has_no_second_effect(callbacks: CallbackSender, submitted: Submission) -> None:
    body = callbacks.fal.callback_body(callbacks.request_id(submitted))

    answers = [callbacks.send(submitted, body) for _ in range(5)]

    assert answers == [200] * 5
    assert ProviderCallback.objects.get().repeats == 4
    assert submitted.generation.outputs.count() == 1


def test_b8_a_late_duplicate_callback_charges_nothing(
    callbacks: CallbackSender, alice: Account, submitted: Submission, work: Work
) -> None:
    body = callbacks.fal.callback_body(callbacks.request_id(submitted))
    callbacks.send(submitted, body)
    work.until_done(submitted.generation)
    entries = Entry.objects.count()

    assert callbacks.send(submitted, body) == 200

    alice.refresh_from_db()
    assert (alice.balance, alice.held, Entry.objects.count()) == (997, 0, entries)


def test_b9_twenty_at_once_have_one_effect(callbacks: CallbackSender, fal: Simulator, submitted: Submission) -> None:
    body = fal.callback_body(callbacks.request_id(submitted))
    headers = fal.sign(body, request_id=callbacks.request_id(submitted))
    barrier, answers = threading.Barrier(20), []

    def deliver() -> None:
        barrier.wait()
        answers.append(CallbackSender(fal=fal, client=Client()).post(submitted.pk, submitted.token, body, headers))
        connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [200] * 20
    assert submitted.generation.outputs.count() == 1
    assert ProviderCallback.objects.get().repeats == 19


def test_b12_a_callback_for_nothing_of_ours_is_kept_for_staff(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    body = fal.callback_body(callbacks.request_id(submitted))
    headers = fal.sign(body, request_id=callbacks.request_id(submitted))

    assert callbacks.post("0192f0c1-2345-7abc-8def-0123456789ab", "no-token", body, headers) == 404

    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.ORPHAN


def test_f11_a_second_job_of_one_attempt_gets_a_row_of_its_own_and_is_paid_by_the_operator(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    body = json.dumps({"request_id": "second", "status": "DONE"}).encode()

    assert callbacks.send(submitted, body, request_id="second") == 200

    states = submitted.generation.submissions.order_by("number").values_list("request_id", "state")
    assert list(states) == [(submitted.request_id, "accepted"), ("second", "surplus")]
    assert stored_answer(submitted) == Phase.WAITING


@pytest.mark.parametrize(
    "kind, code",
    [
        ("content_policy_violation", FailureCode.CONTENT_POLICY),
        ("image_too_small", FailureCode.INVALID_INPUT),
        ("internal_server_error", FailureCode.PROVIDER_ERROR),
        ("generation_timeout", FailureCode.PROVIDER_TIMEOUT),
        ("runner_disconnected", FailureCode.PROVIDER_ERROR),
    ],
)
def test_b13_a_failure_is_named_in_our_words_and_costs_nothing(
    kind: str,
    code: FailureCode,
    fal: Simulator,
    callbacks: CallbackSender,
    alice: Account,
    order: PlaceOrder,
    work: Work,
) -> None:
    fal.script(f"fail:{kind}", "callback:lost", "hold")
    generation = order()
    work.submit()

    callbacks.send(generation.submissions.get())

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.status, generation.failure_code) == (Status.FAILED, code)
    assert (alice.balance, alice.held) == (1000, 0)


@pytest.mark.parametrize(
    "scenario", ["callback:null_payload", "callback:garbage", "callback:mismatch", "callback:forged"]
)
def test_b14_a_callback_without_the_answer_makes_us_fetch_it(
    scenario: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(scenario)

    assert work.until_done(order()).status == Status.COMPLETED


@pytest.mark.parametrize("status", ["DONE", None, 7, "ok"])
def test_b15_an_unknown_verdict_changes_nothing_and_fal_is_asked(
    status: object, callbacks: CallbackSender, submitted: Submission
) -> None:
    request_id = callbacks.request_id(submitted)
    body = json.dumps({"request_id": request_id, "status": status, "payload": {}}).encode()

    assert callbacks.send(submitted, body) == 200

    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.UNCLEAR
    assert stored_answer(submitted) == Phase.WAITING


def test_b18_a_late_answer_after_the_end_changes_nothing(
    callbacks: CallbackSender, alice: Account, submitted: Submission, work: Work
) -> None:
    body = callbacks.fal.callback_body(callbacks.request_id(submitted))
    failing = json.dumps({"request_id": callbacks.request_id(submitted), "status": "ERROR", "error": "x"}).encode()
    callbacks.send(submitted, failing)

    assert callbacks.send(submitted, body) == 200

    alice.refresh_from_db()
    assert (alice.balance, alice.held) == (1000, 0)
    assert submitted.generation.outputs.count() == 0
    assert ProviderCallback.objects.latest("id").outcome == ProviderCallback.Outcome.IGNORED


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 5 * 1024 * 1024])
def test_b21_a_body_beyond_the_cap_is_refused(size: int, callbacks: CallbackSender, submitted: Submission) -> None:
    assert callbacks.send(submitted, b"x" * size) == 413


BROKEN = [
    *(b"", b"null", b"[]", b'"text"', b"{", b'{"request_id": NaN}', b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00"),
    *(b"[" * 100_000, b'{"request_id": ' + b"9" * 5000 + b"}", b'{"request_id": 7}', "{“}".encode("utf-16")),
]


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_b23_b24_b25_a_signed_body_that_is_no_callback_is_refused(
    body: bytes, callbacks: CallbackSender, submitted: Submission
) -> None:
    assert callbacks.send(submitted, body) == 400
    assert stored_answer(submitted) == Phase.WAITING


def test_b25_nul_and_lone_surrogates_in_an_answer_do_no_harm(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission, work: Work
) -> None:
    answer = json.loads(fal.callback_body(callbacks.request_id(submitted)))
    answer["payload"]["\u0000\ud800"] = {"\u0000": "\ud800", "nested\u0000": [answer["payload"].pop("images")]}

    assert callbacks.send(submitted, json.dumps(answer).encode()) == 200

    assert work.until_done(submitted.generation).status == Status.COMPLETED


def test_b26_a_packed_body_is_refused(client: Client, submitted: Submission) -> None:
    response = client.post(
        f"/hooks/fal/{submitted.pk}/{submitted.token}",
        b"\x1f\x8b",
        content_type="application/json",
        headers={"Content-Encoding": "gzip"},
    )

    assert response.status_code == 415


@pytest.mark.parametrize("keep_previous", [True, False])
def test_b28_a_new_key_is_fetched_when_none_fits(
    keep_previous: bool, callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    callbacks.send(submitted, b"{}")
    fal.rotate_keys(keep_previous=keep_previous)
    clients.keys()._tried_at = None  # a minute has passed

    assert callbacks.send(submitted) == 200


def test_b28_a_flood_of_forgeries_fetches_the_keys_once(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    answers = {callbacks.send(submitted, key="unknown") for _ in range(50)}

    assert answers == {401}
    assert fal.jwks_fetches == 1


@pytest.mark.parametrize("mode", ["down", "garbage", "empty", "huge"])
def test_b30_without_any_key_fal_is_asked_to_come_again(
    mode: str, callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    fal.jwks_mode(mode)

    assert callbacks.send(submitted) == 503


@pytest.mark.parametrize("mode", ["down", "garbage", "empty", "huge"])
def test_b29_known_keys_outlive_an_outage_of_fals_key_page(
    mode: str, callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    callbacks.send(submitted, b"{}")
    fal.jwks_mode(mode)
    clients.keys()._tried_at = None

    assert callbacks.send(submitted, key="unknown") == 401
    assert callbacks.send(submitted) == 200


def test_b31_padded_keys_are_read(callbacks: CallbackSender, fal: Simulator, submitted: Submission) -> None:
    fal.jwks_mode("padded")

    assert callbacks.send(submitted) == 200


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_b39_only_post_is_answered(method: str, client: Client, submitted: Submission) -> None:
    response = getattr(client, method)(f"/hooks/fal/{submitted.pk}/{submitted.token}")

    assert response.status_code == 405


def test_the_first_proven_callback_pins_the_fal_account(
    settings, callbacks: CallbackSender, submitted: Submission
) -> None:
    settings.FAL_USER_ID = ""

    first = callbacks.send(submitted, user_id="our-account")
    other = callbacks.send(submitted, user_id="another-account")

    assert (first, other) == (200, 401)
    assert FalAccount.objects.get().user_id == "our-account"


def test_a_callback_without_our_token_pins_nothing(
    settings, callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    settings.FAL_USER_ID = ""
    body = fal.callback_body(callbacks.request_id(submitted))
    headers = fal.sign(body, request_id=callbacks.request_id(submitted), user_id="mallory")

    assert callbacks.post(submitted.pk, "guessed", body, headers) == 404

    assert (FalAccount.objects.count(), ProviderCallback.objects.count()) == (0, 0)


def test_b11_a_callback_before_the_receipt_is_adopted(
    fal: Simulator, live_limn: object, order: PlaceOrder, work: Work
) -> None:
    fal.script("callback:early")

    generation = work.until_done(order())

    assert (generation.status, generation.submissions.get().state) == (Status.COMPLETED, Submission.State.ACCEPTED)
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.APPLIED


def test_b32_keys_are_not_trusted_past_a_day(callbacks: CallbackSender, fal: Simulator, submitted: Submission) -> None:
    callbacks.send(submitted, b"{}")
    clients.keys()._fetched_at = time.monotonic() - 24 * 3600 - 1
    clients.keys()._tried_at = None
    fal.jwks_mode("down")

    assert callbacks.send(submitted) == 503
