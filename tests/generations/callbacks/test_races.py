"""Concurrent callbacks, in both orders, and crashes in between. Case ids: docs/failure-modes.md, group B."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from credits.models import Account, Entry
from generations import lifecycle
from generations.lifecycle import transitions
from generations.models import CancelledBy, Event, Generation, Phase, ProviderCallback, Status, Submission
from generations.workers import callback_inbox
from simulator import Simulator
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def worded(verdict: bytes, number: int) -> bytes:
    """The same verdict in other bytes, so that no uniqueness of bytes helps."""
    return json.dumps({**json.loads(verdict), "number": number}).encode()


def error(submission: Submission) -> bytes:
    said = {"request_id": submission.request_id, "status": "ERROR", "error": "Invalid status code: 500"}
    return json.dumps(said).encode()


@pytest.mark.only_postgresql
def test_b9_twenty_wordings_of_one_verdict_at_once_have_one_effect(fal: Simulator, submitted: Submission) -> None:
    body = fal.callback_body(str(submitted.request_id))

    def deliver(number: int) -> int:
        return CallbackSender(fal=fal, client=Client()).send(submitted, worded(body, number))

    assert at_once(20, deliver) == [200] * 20
    assert Event.objects.filter(fact="answered").count() == 1
    assert ProviderCallback.objects.filter(outcome=ProviderCallback.Outcome.APPLIED).count() == 1


@pytest.mark.only_postgresql
def test_b9_without_the_guard_of_the_move_there_are_two_effects(
    submitted: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the same race, and the table of moves allows STORING from STORING."""
    monkeypatch.setitem(transitions.CAME_FROM, Phase.STORING, {*transitions.CAME_FROM[Phase.STORING], Phase.STORING})
    generation = Generation.objects.get()

    moves = at_once(20, lambda _: transitions.move(generation, Phase.STORING))

    assert sum(moves) > 1


@pytest.mark.parametrize("first", ["OK", "ERROR"])
def test_b18_of_two_contradictory_verdicts_the_first_counts(
    first: str, callbacks: CallbackSender, alice: Account, submitted: Submission, work: Work
) -> None:
    verdicts = [callbacks.fal.callback_body(str(submitted.request_id)), error(submitted)]
    callbacks.fal.finish(str(submitted.request_id))

    answers = [callbacks.send(submitted, body) for body in (verdicts if first == "OK" else verdicts[::-1])]

    generation, books = work.until_done(submitted.generation), Account.objects.get(pk=alice.pk)
    assert answers == [200, 200]
    assert generation.status == (Status.COMPLETED if first == "OK" else Status.FAILED)
    assert (books.balance, books.held) == (1000 - generation.captured, 0)
    assert (generation.captured > 0) == (first == "OK")


def test_b19_an_answer_after_a_cancellation_and_its_release_charges_nothing(
    callbacks: CallbackSender, alice: Account, submitted: Submission
) -> None:
    lifecycle.cancel_asked(submitted.generation, by=CancelledBy.CUSTOMER, actor="user:alice")
    lifecycle.cancelled(submitted.generation)
    entries = Entry.objects.count()

    assert callbacks.send(submitted) == 200

    alice.refresh_from_db()
    assert (alice.balance, alice.held, Entry.objects.count()) == (1000, 0, entries)
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.IGNORED


class Crash(BaseException):
    """What kill -9 looks like from inside: nobody catches it."""


def crash(*args: object, **kwargs: object) -> None:
    raise Crash


def test_b36_killed_before_the_verdict_is_committed_the_next_delivery_does_all_the_work(
    callbacks: CallbackSender, submitted: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as doomed:
        doomed.setattr(Event.objects, "create", crash)
        with pytest.raises(Crash):
            callbacks.send(submitted)
    assert Generation.objects.get().phase == Phase.WAITING
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.RECEIVED

    assert callbacks.send(submitted) == 200

    assert Generation.objects.get().phase == Phase.STORING
    assert ProviderCallback.objects.get().outcome == ProviderCallback.Outcome.APPLIED


def test_b35_killed_between_the_commit_and_the_answer_the_next_delivery_does_nothing(
    callbacks: CallbackSender, submitted: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = callback_inbox.process
    with monkeypatch.context() as doomed:
        doomed.setattr(callback_inbox, "process", lambda delivery: crash(tell(delivery)))
        with pytest.raises(Crash):
            callbacks.send(submitted)
    version = Generation.objects.get().version

    assert callbacks.send(submitted) == 200

    assert Generation.objects.get().version == version
    assert ProviderCallback.objects.get().repeats == 1
