"""The table of scenarios: each one has an effect, none breaks the simulator, and the documentation has them all."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import pytest

from simulator import SCENARIO_TYPES, ScenarioType, Simulator
from simulator.scenario_table import as_markdown
from simulator.scenarios import find_in, parse
from tests.simulator.queue_client import SPEED, CallbackReceiver, QueueClient

DOCS = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"


def with_choices(scenario_type: ScenarioType) -> list[str]:
    return [f"{scenario_type.name}:{choice}" for choice in scenario_type.choices] or [scenario_type.name]


@pytest.mark.parametrize("scenario_type", SCENARIO_TYPES, ids=lambda scenario_type: scenario_type.name)
def test_no_scenario_breaks_the_simulator(
    fal: Simulator, receiver: CallbackReceiver, capfd: pytest.CaptureFixture[str], scenario_type: ScenarioType
) -> None:
    client = QueueClient(fal)
    client.http.timeout = httpx.Timeout(0.2)
    scenarios = with_choices(scenario_type)

    with client.http:
        for scenario in scenarios:
            # Some scenarios never answer.
            with contextlib.suppress(httpx.HTTPError):
                client.submit(f"[{scenario}]", webhook=receiver.url)

    assert fal.wait_until(lambda: len(fal.log.posts()) == len(scenarios))
    assert fal.wait_until(lambda: scenario_type.name == "hold" or not fal.log.unfinished())
    assert sorted(post.scenarios for post in fal.log.posts()) == sorted(scenarios)
    assert "Traceback" not in capfd.readouterr().err


def test_a_slow_job_runs_for_the_given_time(queue_client: QueueClient) -> None:
    request = queue_client.run("[slow:20]")

    assert request.started_at is not None
    assert request.completed_at is not None
    assert request.completed_at - request.started_at >= 20 / SPEED


def test_a_parsed_scenario_can_be_written_and_parsed_again() -> None:
    for text in ("slow:20", "cdn:503x2@1", "drop_after_acceptx3", "redirect:127.0.0.1:9", "queue:2.5"):
        assert parse(str(parse(text))) == parse(text)


def test_suffixes_limit_how_often_and_to_which_output_a_scenario_applies() -> None:
    scenario = parse("cdn:503x2@1").get("cdn")

    assert scenario is not None
    assert [scenario.happens_after(earlier) for earlier in range(3)] == [True, True, False]
    assert [scenario.applies_to(index) for index in range(3)] == [False, True, False]


def test_other_text_in_brackets_is_ignored() -> None:
    for text in ("[1]", "[slow:soon]", "[redirect:ä:80]", "[redirect:evil]", "[slow [fail", "[]", "[fail:]"):
        assert find_in({"prompt": text}).scenarios == (), text


def test_every_scenario_has_a_sentence() -> None:
    sentences = [text for each in SCENARIO_TYPES for text in (each.sentence, *each.choices.values())]

    assert [sentence for sentence in sentences if not sentence.endswith(".")] == []


def test_the_documentation_contains_the_table() -> None:
    assert as_markdown() in DOCS.read_text()
