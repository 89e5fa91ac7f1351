"""An order from the request to the stored file: what fal receives, what it costs, and what the customer sees."""

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


def test_a_stored_file_has_the_bytes_that_fal_served(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    output = work.until_done(order(num_images=2, prompt="two cats")).outputs.get(index=1)

    with default_storage.open(output.key) as file:
        content = file.read()

    served = next(served for served in fal.log.served() if output.source_url.endswith(served.path))
    assert hashlib.sha256(content).hexdigest() == output.sha256 == served.sha256


def test_the_price_is_held_with_the_order_and_captured_with_the_delivery(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    alice.refresh_from_db()
    assert (alice.balance, alice.held) == (1000, 3)

    work.until_done(generation)

    alice.refresh_from_db()
    assert (alice.balance, alice.held) == (997, 0)
    assert audit().clean


def test_an_order_is_one_post_to_fal(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    work.until_done(order())

    assert len(fal.log.posts()) == 1


def test_fal_receives_the_arguments_and_a_callback_url_with_the_token(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order(prompt="a cat", seed=7)

    work.submit()

    (request,) = fal.log.accepted()
    assert request.inputs == generation.arguments
    assert request.inputs["num_inference_steps"] == 4
    assert generation.submissions.get().token in str(request.webhook_url)


def test_a_generation_completes_without_any_callback(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.always("callback:lost")

    assert work.until_done(order()).status == Status.COMPLETED


def test_the_timeline_shows_each_fact_with_its_actor_and_its_change_of_the_credits(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    events = work.until_done(order()).events.exclude(fact="progressed")

    assert [(event.fact, event.actor, event.held_change, event.balance_change) for event in events] == [
        ("ordered", "user:alice", 3, 0),
        ("submitting", "limn", 0, 0),
        ("submitted", "fal", 0, 0),
        ("answered", "fal", 0, 0),
        ("completed", "limn", -3, -3),
    ]


def test_a_running_generation_shows_fals_progress(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("hold")
    generation = order("tripo-v2.5")

    def shows_progress() -> bool:
        generation.refresh_from_db()
        return generation.phase == Phase.RUNNING and generation.message != ""

    work.until(shows_progress)

    assert Generation.objects.get(pk=generation.pk).version > 3
