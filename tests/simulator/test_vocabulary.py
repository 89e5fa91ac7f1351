"""The table of words: each one does something, none breaks the simulator, and the docs hold them all."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import pytest

from simulator import SCENARIO_TYPES, ScenarioType, Simulator
from simulator.scenario_table import as_markdown
from simulator.scenarios import find_in, parse
from tests.simulator.customer import Customer, Receiver

DOCS = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"


def written(word: ScenarioType) -> list[str]:
    return [f"{word.name}:{choice}" for choice in word.choices] or [word.name]


@pytest.mark.parametrize("word", SCENARIO_TYPES, ids=lambda word: word.name)
def test_no_word_breaks_the_simulator(
    fal: Simulator, inbox: Receiver, capfd: pytest.CaptureFixture[str], word: ScenarioType
) -> None:
    customer = Customer(fal)
    customer.http.timeout = httpx.Timeout(0.2)

    with customer.http:
        for scenario in written(word):
            with contextlib.suppress(httpx.HTTPError):
                customer.submit(f"[{scenario}]", webhook=inbox.url)

    assert fal.wait_until(lambda: len(fal.log.posts()) == len(written(word)))
    assert fal.wait_until(lambda: word.name == "hold" or not fal.log.unfinished())
    assert [post.scenarios for post in fal.log.posts()] == written(word)
    assert "Traceback" not in capfd.readouterr().err


def test_a_slow_job_runs_for_as_long_as_it_is_told(customer: Customer) -> None:
    request = customer.completed("[slow:20]")

    assert request.started_at is not None
    assert request.completed_at is not None
    assert request.completed_at - request.started_at >= 20 / 200


@pytest.mark.parametrize("text", ["slow:20", "cdn:503x2@1", "drop_after_acceptx3", "redirect:127.0.0.1:9", "queue:2.5"])
def test_what_was_read_can_be_written_down_and_read_again(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


def test_a_suffix_limits_how_often_and_where() -> None:
    scenario = parse("cdn:503x2@1").get("cdn")

    assert scenario is not None
    assert [scenario.happens_after(earlier) for earlier in range(3)] == [True, True, False]
    assert [scenario.applies_to(index) for index in range(3)] == [False, True, False]


@pytest.mark.parametrize(
    "text", ["[1]", "[slow:soon]", "[redirect:ä:80]", "[redirect:evil]", "[slow [fail", "[]", "[fail:]"]
)
def test_other_brackets_are_just_text(text: str) -> None:
    assert find_in({"prompt": text}).scenarios == ()


def test_half_a_surrogate_pair_is_refused_in_readable_json(customer: Customer) -> None:
    reply = customer.http.post("/fal-ai/flux/schnell", content=b'{"prompt": "\\ud800"}')
    request_id = reply.json()["request_id"]
    assert customer.fal.wait_until(lambda: customer.state(request_id) == "COMPLETED")

    assert customer.result(request_id).json()["detail"][0]["loc"] == ["body", "input"]


def test_the_docs_hold_the_table() -> None:
    assert as_markdown() in DOCS.read_text()
