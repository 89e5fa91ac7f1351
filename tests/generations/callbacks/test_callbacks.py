"""Genuine callbacks: what they change, and that repeated, late and simultaneous ones change nothing more.

Case ids: docs/failure-modes.md, group B.
"""

from __future__ import annotations

import json

import pytest
from django.test import Client

from credits import ledger
from credits.models import Account, Entry
from generations import lifecycle
from generations.models import FailureCode, Generation, Phase, ProviderCallback, Status, Submission
from generations.provider import clients
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def phase_of(submission: Submission) -> str:
    return Generation.objects.get(pk=submission.generation_id).phase


# --- Verdicts ---


def test_a_genuine_callback_is_applied(callbacks: CallbackSender, submitted: Submission) -> None:
    assert callbacks.send(submitted) == 200

    assert phase_of(submitted) == Phase.STORING
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.APPLIED


def test_b38_the_url_works_with_and_without_a_slash(callbacks: CallbackSender, submitted: Submission) -> None:
    """fal never repeats a callback that was answered with a redirect."""
    body, headers = callbacks.signed(submitted)

    for slash in ("", "/"):
        assert callbacks.post(submitted.pk, submitted.token, body, headers, slash=slash) == 200


@pytest.mark.parametrize("token, status", [(None, 200), ("another", 404)])
def test_the_answer_has_a_length(
    token: str | None, status: int, callbacks: CallbackSender, submitted: Submission
) -> None:
    """Otherwise the server sends it in chunks, the last of which comes in a packet of its own."""
    body, headers = callbacks.signed(submitted)
    url = f"/hooks/fal/{submitted.pk}/{token or submitted.token}"

    response = callbacks.client.post(url, body, content_type="application/json", headers=headers)

    assert (response.status_code, response["Content-Length"]) == (status, "0")


def test_b11_a_callback_before_the_receipt_is_applied(
    fal: Simulator, live_limn: object, order: PlaceOrder, work: Work
) -> None:
    fal.script("callback:early")

    generation = work.until_done(order())

    assert (generation.status, generation.submissions.get().state) == (Status.COMPLETED, Submission.State.ACCEPTED)
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.APPLIED


def test_b13_an_error_of_fal_fails_the_generation_with_limns_code_and_costs_nothing(
    fal: Simulator, callbacks: CallbackSender, alice: Account, order: PlaceOrder, work: Work
) -> None:
    codes = {
        "content_policy_violation": FailureCode.CONTENT_POLICY,
        "image_too_small": FailureCode.INVALID_INPUT,
        "internal_server_error": FailureCode.PROVIDER_ERROR,
        "generation_timeout": FailureCode.PROVIDER_TIMEOUT,
        "runner_disconnected": FailureCode.PROVIDER_ERROR,
    }
    for error_type, code in codes.items():
        fal.script(f"fail:{error_type}", "callback:lost", "hold")
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
def test_b14_the_result_is_fetched_if_the_callback_does_not_contain_it(
    scenario: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(scenario)

    assert work.until_done(order()).status == Status.COMPLETED


@pytest.mark.parametrize("status", ["DONE", None, 7, "ok"])
def test_b15_a_callback_with_an_unknown_status_is_stored_and_changes_nothing(
    status: object, callbacks: CallbackSender, submitted: Submission
) -> None:
    request_id = callbacks.request_id(submitted)
    body = json.dumps({"request_id": request_id, "status": status, "payload": {}}).encode()

    assert callbacks.send(submitted, body) == 200

    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.UNCLEAR
    assert phase_of(submitted) == Phase.WAITING


def test_b25_nul_and_lone_surrogates_in_an_answer_do_not_cost_the_files(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission, work: Work
) -> None:
    answer = json.loads(fal.callback_body(callbacks.request_id(submitted)))
    answer["payload"]["\u0000\ud800"] = {"\u0000": "\ud800", "nested\u0000": [answer["payload"].pop("images")]}

    assert callbacks.send(submitted, json.dumps(answer).encode()) == 200

    assert work.until_done(submitted.generation).status == Status.COMPLETED


# --- Repeated and late callbacks ---


def test_b7_a_repeated_callback_has_no_second_effect(callbacks: CallbackSender, submitted: Submission) -> None:
    body, _ = callbacks.signed(submitted)

    answers = [callbacks.send(submitted, body) for _ in range(5)]

    assert answers == [200] * 5
    assert ProviderCallback.objects.get().repeats == 4
    assert submitted.generation.outputs.count() == 1


def test_b8_a_callback_that_is_repeated_after_the_end_charges_nothing(
    callbacks: CallbackSender, alice: Account, submitted: Submission, work: Work
) -> None:
    body, _ = callbacks.signed(submitted)
    callbacks.send(submitted, body)
    work.until_done(submitted.generation)
    # The credits of another job, which a second settlement of this one would take.
    ledger.hold(alice, 5, reference="another")
    entries = Entry.objects.count()

    assert callbacks.send(submitted, body) == 200
    work.copy()

    alice.refresh_from_db()
    assert (alice.balance, alice.held, Entry.objects.count()) == (997, 5, entries)


def test_b9_twenty_identical_callbacks_at_once_have_one_effect(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    body, headers = callbacks.signed(submitted)
    # Fetched by one of twenty threads, the keys could come too late for the others.
    clients.keys().current()

    def send(_: int) -> int:
        return CallbackSender(fal=fal, client=Client()).post(submitted.pk, submitted.token, body, headers)

    assert at_once(20, send) == [200] * 20
    assert submitted.generation.outputs.count() == 1
    assert ProviderCallback.objects.get().repeats == 19


def test_b18_an_answer_after_the_end_changes_nothing(
    callbacks: CallbackSender, alice: Account, submitted: Submission
) -> None:
    body, _ = callbacks.signed(submitted)
    error = json.dumps({"request_id": callbacks.request_id(submitted), "status": "ERROR", "error": "x"}).encode()
    callbacks.send(submitted, error)

    assert callbacks.send(submitted, body) == 200

    alice.refresh_from_db()
    assert (alice.balance, alice.held) == (1000, 0)
    assert submitted.generation.outputs.count() == 0
    assert ProviderCallback.objects.latest("id").outcome == ProviderCallback.Outcome.CONFLICT


@pytest.mark.parametrize("code", [FailureCode.DEADLINE, FailureCode.INTERNAL_ERROR])
def test_b18_an_answer_after_limn_has_given_up_is_a_surplus_job(
    code: FailureCode, callbacks: CallbackSender, submitted: Submission
) -> None:
    """fal contradicts nothing that it has said. The operator pays for the job."""
    lifecycle.failed(Generation.objects.get(), lifecycle.failure(code), actor="limn")

    assert [callbacks.send(submitted), callbacks.send(submitted)] == [200, 200]

    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.IGNORED
    facts = list(submitted.generation.events.values_list("fact", flat=True))
    assert (facts.count("surplus"), facts.count("contradicted")) == (1, 0)


def test_the_reconciler_asks_fal_after_a_stale_callback(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    """The signature is genuine, so there may be a result, but a stale callback proves nothing."""
    fal.finish(callbacks.request_id(submitted))
    Generation.objects.update(next_attempt_at="2999-01-01T00:00:00Z")

    callbacks.send(submitted, timestamp=1)

    assert Generation.objects.to_reconcile().count() == 1


# --- Requests that belong to no submission ---


def test_b12_a_callback_for_an_unknown_submission_is_stored_for_staff(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    body, headers = callbacks.signed(submitted)

    assert callbacks.post("0192f0c1-2345-7abc-8def-0123456789ab", "no-token", body, headers) == 404

    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.ORPHAN


def test_f11_a_second_job_of_one_submission_gets_a_row_of_its_own_and_is_surplus(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    body = json.dumps({"request_id": "second", "status": "DONE"}).encode()

    assert callbacks.send(submitted, body, request_id="second") == 200

    states = submitted.generation.submissions.order_by("number").values_list("request_id", "state")
    assert list(states) == [(submitted.request_id, "accepted"), ("second", "surplus")]
    assert phase_of(submitted) == Phase.WAITING
