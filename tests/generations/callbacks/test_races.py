"""Callbacks that arrive at the same time, contradict each other, or meet a process that is killed.

Case ids: docs/failure-modes.md, group B.
"""

from __future__ import annotations

import json

import pytest
from django.db import transaction
from django.test import Client

from credits.models import Account, Entry
from generations import lifecycle
from generations.lifecycle import transitions
from generations.models import CancelledBy, Event, Generation, Phase, ProviderCallback, Status, Submission
from generations.provider import clients
from generations.workers import callback_inbox
from simulator import Simulator
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


# --- At the same time ---


def numbered(body: bytes, number: int) -> bytes:
    """The same verdict in other bytes, so that it is not recognised as a repetition."""
    return json.dumps({**json.loads(body), "number": number}).encode()


@pytest.mark.only_postgresql
def test_b9_twenty_different_bodies_with_one_verdict_have_one_effect(fal: Simulator, submitted: Submission) -> None:
    body = fal.callback_body(str(submitted.request_id))
    # Fetched by one of twenty threads, the keys could come too late for the others.
    clients.keys().current()

    def send(number: int) -> int:
        return CallbackSender(fal=fal, client=Client()).send(submitted, numbered(body, number))

    assert at_once(20, send) == [200] * 20
    assert Event.objects.filter(fact="answered").count() == 1
    assert ProviderCallback.objects.filter(outcome=ProviderCallback.Outcome.APPLIED).count() == 1


@pytest.mark.only_postgresql
def test_b9_without_the_guard_of_the_transition_there_are_several_effects(
    submitted: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: STORING is a legal origin of STORING, and more than one of twenty threads moves the row."""
    monkeypatch.setitem(transitions.CAME_FROM, Phase.STORING, {*transitions.CAME_FROM[Phase.STORING], Phase.STORING})
    generation = Generation.objects.get()

    def move(_: int) -> bool:
        with transaction.atomic():
            return transitions.move(transitions.lock(generation.pk), Phase.STORING)

    assert sum(at_once(20, move)) > 1


# --- Contradictory verdicts ---


@pytest.mark.parametrize("first", ["OK", "ERROR"])
def test_b18_the_first_of_two_contradictory_verdicts_counts(
    first: str, callbacks: CallbackSender, fal: Simulator, alice: Account, submitted: Submission, work: Work
) -> None:
    request_id = str(submitted.request_id)
    error = json.dumps({"request_id": request_id, "status": "ERROR", "error": "Invalid status code: 500"}).encode()
    verdicts = [fal.callback_body(request_id), error]
    fal.finish(request_id)

    answers = [callbacks.send(submitted, body) for body in (verdicts if first == "OK" else verdicts[::-1])]

    generation = work.until_done(submitted.generation)
    alice.refresh_from_db()
    assert answers == [200, 200]
    assert generation.status == (Status.COMPLETED if first == "OK" else Status.FAILED)
    assert (alice.balance, alice.held) == (1000 - generation.captured, 0)
    assert (generation.captured > 0) == (first == "OK")
    outcomes = ProviderCallback.objects.order_by("id").values_list("outcome", flat=True)
    assert list(outcomes) == [ProviderCallback.Outcome.APPLIED, ProviderCallback.Outcome.CONFLICT]
    assert generation.events.filter(fact="contradicted").count() == 1


def test_b19_an_answer_after_a_cancellation_charges_nothing(
    callbacks: CallbackSender, alice: Account, submitted: Submission
) -> None:
    lifecycle.cancel_asked(submitted.generation, by=CancelledBy.CUSTOMER, actor="user:alice")
    lifecycle.cancelled(submitted.generation)
    entries = Entry.objects.count()

    assert callbacks.send(submitted) == 200

    alice.refresh_from_db()
    assert (alice.balance, alice.held, Entry.objects.count()) == (1000, 0, entries)
    # fal said that it would never run.
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.CONFLICT


def test_b18_a_result_with_other_files_is_a_conflict_and_changes_nothing(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission, work: Work
) -> None:
    request_id = str(submitted.request_id)
    fal.finish(request_id)
    first = json.loads(fal.callback_body(request_id))
    other = {**first, "payload": {"images": [{"url": "https://v3.fal.media/other.png"}]}}
    same_again = {**first, "gateway_request_id": "repeated"}

    for body in (first, same_again, other):
        callbacks.send(submitted, json.dumps(body).encode())

    outcomes = ProviderCallback.objects.order_by("id").values_list("outcome", flat=True)
    assert list(outcomes) == ["applied", "ignored", "conflict"]
    assert submitted.generation.outputs.get().source_url == first["payload"]["images"][0]["url"]


# --- Killed processes ---


class Killed(BaseException):
    """Ends the request as `kill -9` would: no handler catches it."""


def kill(*args: object, **kwargs: object) -> None:
    raise Killed


def test_b36_if_the_process_is_killed_before_the_commit_the_next_delivery_has_the_full_effect(
    callbacks: CallbackSender, submitted: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(transitions, "events_recorded", kill)
        with pytest.raises(Killed):
            callbacks.send(submitted)
    assert Generation.objects.get().phase == Phase.WAITING
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.RECEIVED

    assert callbacks.send(submitted) == 200

    assert Generation.objects.get().phase == Phase.STORING
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.APPLIED


def test_b35_if_the_process_is_killed_after_the_commit_the_next_delivery_has_no_effect(
    callbacks: CallbackSender, submitted: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_once = callback_inbox.run_once
    with monkeypatch.context() as patch:
        patch.setattr(callback_inbox, "run_once", lambda limit: kill(run_once(limit=limit)))
        with pytest.raises(Killed):
            callbacks.send(submitted)
    version = Generation.objects.get().version

    assert callbacks.send(submitted) == 200

    assert Generation.objects.get().version == version
    assert ProviderCallback.objects.get().repeats == 1
