"""What fal says beside the files reaches the customer, and never costs her the files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from generations import lifecycle
from generations.catalogue import extract_details
from generations.catalogue.details import BYTES_MAX
from generations.models import Generation, Phase, Status, Submission
from generations.progress import results
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.generations.catalogue.test_details import JSON
from tests.helpers import lifecycle_facts
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender

HOSTILE: dict[str, Any] = {
    "seed": 10**400,
    "guidance": 1e308,
    "description": "a\0fox\ud800",
    "de\0scription": "a fox",
    "deep": [[[[[[[[[[[[[[[[[[[["fox"]]]]]]]]]]]]]]]]]]]],
    "long": "fox " * BYTES_MAX,
    "words": ["fox"] * 100_000,
}


def as_read(details: dict[str, Any]) -> Any:
    """PostgreSQL writes 1e17 with all its digits, and the reader takes it for an integer."""
    return json.loads(json.dumps(details), parse_int=float)


@pytest.mark.django_db(transaction=True)
def test_the_seed_that_was_used_is_told(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = work.until_done(order(seed=7, prompt="a fox"))

    assert generation.details == {"seed": 7}
    assert results.of(generation).details == {"seed": 7}


@pytest.mark.django_db(transaction=True)
def test_when_each_word_is_spoken_is_told_to_who_asks(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    asked, not_asked = order("eleven-v3", text="Hello, fox.", timestamps=True), order("eleven-v3", text="Hello, fox.")

    assert [word["text"] for word in work.until_done(asked).details["timestamps"]] == ["Hello,", "fox."]
    assert work.until_done(not_asked).details == {}


@pytest.mark.django_db(transaction=True)
def test_a_callback_tells_it_as_well(submitted: Submission, callbacks: CallbackSender) -> None:
    callbacks.send(submitted)

    generation = Generation.objects.get()
    assert (generation.phase, list(generation.details)) == (Phase.STORING, ["seed"])


@pytest.mark.django_db
def test_a_later_answer_changes_nothing_of_it(order: PlaceOrder) -> None:
    attempt = order().submissions.get()
    lifecycle_facts.reach_storing(attempt)

    lifecycle.answered(attempt, {**lifecycle_facts.ANSWER, "seed": 43})

    assert Generation.objects.get().details == {"seed": 42}


@pytest.mark.django_db
def test_a_hostile_answer_does_not_cost_the_files(order: PlaceOrder) -> None:
    attempt = order().submissions.get()
    lifecycle_facts.reach_running(attempt)

    assert lifecycle.answered(attempt, {**HOSTILE, **lifecycle_facts.ANSWER})

    generation = Generation.objects.get()
    assert (generation.phase, generation.outputs.count()) == (Phase.STORING, 1)
    assert generation.details == {"seed": 42, "description": "a\ufffdfox\ufffd", "de\ufffdscription": "a fox"}


@pytest.mark.django_db
def test_whatever_fal_says_is_stored_as_it_is_told(order: PlaceOrder) -> None:
    attempt = order().submissions.get()
    lifecycle_facts.reach_running(attempt)

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(JSON)
    def any_answer(said: Any) -> None:
        Generation.objects.update(phase=Phase.RUNNING, status=Status.PROCESSING)
        attempt.generation.outputs.all().delete()
        answer = {"said": said, **lifecycle_facts.ANSWER}

        assert lifecycle.answered(attempt, answer)
        assert as_read(Generation.objects.get().details) == as_read(extract_details(answer))

    any_answer()
