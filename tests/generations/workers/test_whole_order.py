"""From a wish to a file in storage, and what it costs: the whole way, with callbacks lost and found."""

from __future__ import annotations

import hashlib

import pytest
from django.core.files.storage import default_storage

from credits.audit import audit
from credits.models import Account
from generations.models import Generation, Phase, Status
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_lies_in_storage_is_what_fal_served_byte_for_byte(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    output = work.until_done(order(num_images=2, prompt="two cats")).outputs.get(index=1)

    with default_storage.open(output.key) as file:
        content = file.read()

    served = next(served for served in fal.log.served() if output.source_url.endswith(served.path))
    assert hashlib.sha256(content).hexdigest() == output.sha256 == served.sha256


def test_the_price_is_held_when_ordered_and_captured_when_delivered(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    alice.refresh_from_db()
    assert (alice.balance, alice.held) == (1000, 3)

    work.until_done(generation)

    alice.refresh_from_db()
    assert (alice.balance, alice.held) == (997, 0)
    assert audit().clean


def test_one_attempt_is_one_post_at_fal(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    work.until_done(order())

    assert len(fal.log.posts()) == 1


def test_fal_hears_the_arguments_and_our_secret_address(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = order(prompt="a cat", seed=7)

    work.submit()

    (request,) = fal.log.accepted()
    assert request.inputs == generation.arguments
    assert request.inputs["num_inference_steps"] == 4
    assert generation.submissions.get().token in str(request.webhook_url)


def test_without_any_callback_the_picture_arrives_all_the_same(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.always("callback:lost")

    assert work.until_done(order()).status == Status.COMPLETED


def test_the_timeline_tells_who_did_what_and_what_it_did_to_the_money(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    events = work.until_done(order()).events.all()

    told = [
        (event.fact, event.actor, event.held_change, event.balance_change)
        for event in events
        if event.fact != "progressed"
    ]
    assert told == [
        ("ordered", "user:alice", 3, 0),
        ("submitting", "limn", 0, 0),
        ("submitted", "fal", 0, 0),
        ("answered", "fal", 0, 0),
        ("completed", "limn", -3, -3),
    ]


def test_a_running_job_says_how_far_it_is(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("hold")
    generation = order("tripo-v2.5")

    def is_running() -> bool:
        generation.refresh_from_db()
        return generation.phase == Phase.RUNNING and generation.message != ""

    work.until(is_running)

    assert Generation.objects.get(pk=generation.pk).version > 3
