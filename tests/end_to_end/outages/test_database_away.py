"""PostgreSQL crashes, or falls silent: a quick and honest no, and within seconds everything goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.outages.deployment import Deployment
from tests.services.postgres import Server
from tests.services.waiting import until

pytestmark = pytest.mark.only_postgresql

NOBODY = "00000000-0000-7000-8000-000000000000"
ORDER = {"model": "flux-schnell", "input": {"prompt": "a cat"}}
QUESTIONS = (
    *[(f"/api/v1/{name}",) for name in ("generations/", "credits/", "credits/entries/", "models/")],
    *[(f"/api/v1/generations/{NOBODY}/{verb}",) for verb in ("", "events/")],
    (f"/api/v1/outputs/{NOBODY}/content/",),
    ("/api/v1/generations/", ORDER),
    ("/api/v1/quotes/", ORDER),
    *[(f"/api/v1/generations/{NOBODY}/{verb}/", {}) for verb in ("cancel", "retry")],
)


@pytest.fixture
def crashed(deployment: Deployment, database: Server) -> Iterator[Server]:
    database.crash()
    yield database
    database.start()


@pytest.fixture
def frozen(deployment: Deployment, database: Server) -> Iterator[Server]:
    deployment.ask_all(*QUESTIONS)
    database.freeze()
    yield database
    database.thaw()


def is_back(deployment: Deployment) -> bool:
    return deployment.ask("/api/v1/credits/").status == 200


def test_b33_while_it_is_away_fal_is_asked_to_come_again_and_then_heard(
    deployment: Deployment, database: Server
) -> None:
    callback = deployment.callback()
    database.crash()
    no = deployment.deliver(callback)
    database.start()

    until(lambda: is_back(deployment), what="the web server's new connections")

    assert no.says_come_again, no
    assert deployment.deliver(callback).status == 200


def test_b33_a_silent_database_is_not_waited_for(deployment: Deployment, database: Server) -> None:
    callback = deployment.callback()
    database.freeze()
    no = deployment.deliver(callback)
    database.thaw()

    assert no.says_come_again, no
    until(lambda: deployment.deliver(callback).status == 200, what="fal to be heard")


@pytest.mark.parametrize("state", ["crashed", "frozen"])
def test_every_door_of_the_api_answers_503_during_the_outage(
    state: str, deployment: Deployment, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(state)

    answers = zip(QUESTIONS, deployment.ask_all(*QUESTIONS), strict=True)

    assert [(question, no) for question, no in answers if not no.says_come_again] == []


def test_health_names_the_database_and_the_process_lives(deployment: Deployment, crashed: Server) -> None:
    live, ready = deployment.ask("/health/live"), deployment.ask("/health/ready")

    assert (live.status, ready.status, ready.body["parts"]["database"]) == (200, 503, "away")


def test_a_page_says_no_in_words(deployment: Deployment, crashed: Server) -> None:
    page = deployment.ask("/login/", headers={"Cookie": "sessionid=somebody"})

    assert page.says_come_again
    assert "Please try again in a moment" in page.body


def test_e12_connections_that_a_restart_has_killed_are_found_out_before_they_are_used(
    deployment: Deployment, database: Server
) -> None:
    deployment.ask_all(*QUESTIONS)
    database.crash()
    database.start()

    assert until(deployment.is_well)


def test_e12_the_workers_go_on_after_a_restart(deployment: Deployment, database: Server) -> None:
    until(lambda: is_back(deployment))
    database.crash()
    database.start()
    until(lambda: is_back(deployment))

    generation = f"/api/v1/generations/{deployment.order()}/"

    assert until(lambda: deployment.ask(generation).body["status"] == "completed", what="a picture")
