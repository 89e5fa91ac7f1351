"""How far it is, in words for people: each once, and never backwards."""

from __future__ import annotations

import pytest

from generations import lifecycle
from generations.models import Generation, Phase, Submission
from simulator import Simulator
from tests.fixtures.orders import Ordering
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)


def say(submission: Submission, *lines: str) -> list[tuple[bool, str, int | None]]:
    heard = []
    for line in lines:
        news = lifecycle.progressed(submission.generation, running=True, line=line)
        generation = Generation.objects.get(pk=submission.generation_id)
        heard.append((news, generation.message, generation.percent))
    return heard


def test_a_3d_models_log_becomes_friendly_words(submitted: Submission) -> None:
    assert say(submitted, "[info] Generating mesh (lod 2)", "Applying textures: 40%", "upload complete") == [
        (True, "Creating 3D geometry…", None),
        (True, "Adding textures to model…", 40),
        (True, "Model ready for download!", 40),
    ]


def test_any_other_line_is_shown_trimmed(submitted: Submission) -> None:
    (heard,) = say(submitted, "  step 3/28  " + "x" * 300)

    assert heard[1].startswith("step 3/28")
    assert len(heard[1]) == 200


def test_nothing_is_said_twice_and_stages_only_rise(submitted: Submission) -> None:
    heard = say(submitted, "generating mesh", "generating mesh", "initializing model", "", "applying textures")

    assert [news for news, *_ in heard] == [True, False, False, False, True]


def test_the_percentage_only_rises(submitted: Submission) -> None:
    heard = say(submitted, "denoising 10 %", "denoising 7%", "denoising 99.5%", "denoising 100%", "at 250%")

    assert [percent for *_, percent in heard] == [10, 10, 99, 100, 100]


def test_back_in_the_queue_it_begins_anew(submitted: Submission) -> None:
    say(submitted, "applying textures 80%")
    lifecycle.progressed(submitted.generation, running=False, position=4)

    assert say(submitted, "initializing model") == [(True, "Starting 3D model generation…", None)]


def test_the_queue_position_counts_down(fal: Simulator, order: Ordering, work: Work) -> None:
    fal.script("queue:200", "callback:lost")
    generation = order()
    positions: list[int] = []

    def is_running() -> bool:
        generation.refresh_from_db()
        if generation.phase == Phase.WAITING and generation.queue_position is not None:
            positions.append(generation.queue_position)
        return generation.phase not in (Phase.QUEUED, Phase.WAITING)

    work.until(is_running)

    assert positions
    assert positions == sorted(positions, reverse=True)


def test_a_3d_models_stages_reach_the_owner(fal: Simulator, order: Ordering, work: Work) -> None:
    fal.script("slow:300", "callback:lost")
    generation = order("tripo-v2.5")
    seen: list[str] = []

    def done() -> bool:
        generation.refresh_from_db()
        if generation.message.endswith("…") and generation.message not in seen:
            seen.append(generation.message)
        return generation.is_done

    work.until(done)

    assert "Creating 3D geometry…" in seen
