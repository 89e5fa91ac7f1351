"""The progress of a generation: messages for people, and a percentage that never falls."""

from __future__ import annotations

import pytest

from generations import lifecycle
from generations.models import Generation, Phase, Submission
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)


def report(submission: Submission, *lines: str) -> list[tuple[bool, str, int | None]]:
    """Reports log lines of the model. Returns of each whether it changed anything, the message and the percentage."""
    results = []
    for line in lines:
        has_changed = lifecycle.progressed(submission.generation, running=True, line=line)
        generation = Generation.objects.get(pk=submission.generation_id)
        results.append((has_changed, generation.message, generation.percent))
    return results


def test_log_lines_of_a_3d_model_become_messages(submitted: Submission) -> None:
    assert report(submitted, "[info] Generating mesh (lod 2)", "Applying textures: 40%", "upload complete") == [
        (True, "Creating 3D geometry…", None),
        (True, "Adding textures to model…", 40),
        (True, "Model ready for download!", 40),
    ]


def test_any_other_log_line_is_shown_shortened(submitted: Submission) -> None:
    ((_, message, _),) = report(submitted, "  step 3/28  " + "x" * 300)

    assert message.startswith("step 3/28")
    assert len(message) == 200


def test_a_repeated_line_and_an_earlier_stage_change_nothing(submitted: Submission) -> None:
    lines = ("generating mesh", "generating mesh", "initializing model", "", "applying textures")

    assert [has_changed for has_changed, *_ in report(submitted, *lines)] == [True, False, False, False, True]


def test_the_percentage_never_falls(submitted: Submission) -> None:
    lines = ("denoising 10 %", "denoising 7%", "denoising 99.5%", "denoising 100%", "at 250%")

    assert [percent for *_, percent in report(submitted, *lines)] == [10, 10, 99, 100, 100]


def test_progress_starts_again_after_a_return_to_the_queue(submitted: Submission) -> None:
    report(submitted, "applying textures 80%")
    lifecycle.progressed(submitted.generation, running=False, position=4)

    assert report(submitted, "initializing model") == [(True, "Starting 3D model generation…", None)]


def test_the_queue_position_falls(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    # 200 seconds, so that the job is still in the queue on the slowest machine.
    fal.script("queue:20000", "callback:lost")
    generation = order()
    positions: list[int] = []

    def has_fallen() -> bool:
        generation.refresh_from_db()
        if generation.queue_position is not None and generation.queue_position not in positions:
            positions.append(generation.queue_position)
        return len(positions) >= 3

    work.until(has_fallen)

    assert generation.phase == Phase.WAITING
    assert positions == sorted(positions, reverse=True)


def test_the_messages_of_a_3d_model_reach_the_database(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    # The second message comes after 3 of these 20 seconds.
    fal.script("slow:2000", "callback:lost")
    generation = order("tripo-v2.5")
    messages: list[str] = []

    def has_two_messages() -> bool:
        generation.refresh_from_db()
        if generation.message and generation.message not in messages:
            messages.append(generation.message)
        return len(messages) >= 2 or generation.is_done

    work.until(has_two_messages)

    assert "Analyzing your image…" in messages or "Creating 3D geometry…" in messages
