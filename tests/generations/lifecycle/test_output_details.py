"""Details that fal returns beside the files: they are stored and shown, and no details cost the customer the files."""

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
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.lifecycle_facts import ANSWER, reach_running, reach_storing

# Values that a database, a JSON reader or a size limit may refuse.
HOSTILE: dict[str, Any] = {
    "seed": 10**400,
    "guidance": 1e308,
    "description": "a\0fox\ud800",
    "de\0scription": "a fox",
    "deep": [[[[[[[[[[[[[[[[[[[["fox"]]]]]]]]]]]]]]]]]]]],
    "long": "fox " * BYTES_MAX,
    "words": ["fox"] * 100_000,
}


@pytest.mark.django_db(transaction=True)
def test_the_seed_is_shown_to_the_customer(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = work.until_done(order(seed=7, prompt="a fox"))

    assert generation.details == {"seed": 7}
    assert results.of(generation).details == {"seed": 7}


@pytest.mark.django_db(transaction=True)
def test_the_times_of_spoken_words_are_kept_if_they_were_ordered(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    with_times, without = (
        order("eleven-v3", text="Hello, fox.", timestamps=True),
        order("eleven-v3", text="Hello, fox."),
    )

    assert [word["text"] for word in work.until_done(with_times).details["timestamps"]] == ["Hello,", "fox."]
    assert work.until_done(without).details == {}


@pytest.mark.django_db(transaction=True)
def test_details_are_read_from_a_callback_too(submitted: Submission, callbacks: CallbackSender) -> None:
    callbacks.send(submitted)

    generation = Generation.objects.get()
    assert (generation.phase, list(generation.details)) == (Phase.STORING, ["seed"])


@pytest.mark.django_db
def test_a_second_answer_does_not_change_the_details(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_storing(submission)

    lifecycle.answered(submission, {**ANSWER, "seed": 43})

    assert Generation.objects.get().details == {"seed": 42}


@pytest.mark.django_db
def test_details_that_cannot_be_stored_do_not_cost_the_files(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_running(submission)

    assert lifecycle.answered(submission, {**HOSTILE, **ANSWER})

    generation = Generation.objects.get()
    assert (generation.phase, generation.outputs.count()) == (Phase.STORING, 1)
    assert generation.details == {"seed": 42, "description": "a\ufffdfox\ufffd", "de\ufffdscription": "a fox"}


@pytest.mark.django_db
def test_the_details_of_any_answer_are_stored_unchanged(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    reach_running(submission)

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(JSON)
    def check(value: Any) -> None:
        Generation.objects.update(phase=Phase.RUNNING, status=Status.PROCESSING)
        submission.generation.outputs.all().delete()
        answer = {"value": value, **ANSWER}

        assert lifecycle.answered(submission, answer)
        assert as_stored(Generation.objects.get().details) == as_stored(extract_details(answer))

    check()


def as_stored(details: dict[str, Any]) -> Any:
    """The details with all numbers as floats: PostgreSQL writes 1e17 with all digits, and it is read as an integer."""
    return json.loads(json.dumps(details), parse_int=float)
