"""PostgreSQL crashes or freezes: requests are answered 503 at once, and everything works again without a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.outages.deployment import Deployment
from tests.services.postgres import Server
from tests.services.waiting import until

pytestmark = pytest.mark.only_postgresql

MISSING = "00000000-0000-7000-8000-000000000000"
ORDER = {"model": "flux-schnell", "input": {"prompt": "a cat"}}
REQUESTS = (
    *[(f"/api/v1/{name}",) for name in ("generations/", "credits/", "credits/entries/", "models/")],
    *[(f"/api/v1/generations/{MISSING}/{name}",) for name in ("", "events/")],
    (f"/api/v1/outputs/{MISSING}/content/",),
    ("/api/v1/generations/", ORDER),
    ("/api/v1/quotes/", ORDER),
    *[(f"/api/v1/generations/{MISSING}/{action}/", {}) for action in ("cancel", "retry")],
)


@pytest.fixture
def crashed(deployment: Deployment, database: Server) -> Iterator[Server]:
    """The database is down during the test."""
    database.crash()
    yield database
    database.start()


@pytest.fixture
def frozen(deployment: Deployment, database: Server) -> Iterator[Server]:
    """The database does not answer during the test. The connections to it stay open."""
    deployment.request_all(*REQUESTS)
    database.freeze()
    yield database
    database.thaw()


def is_back(deployment: Deployment) -> bool:
    return deployment.request("/api/v1/credits/").status == 200


def test_b33_a_callback_during_the_outage_is_answered_503_and_accepted_afterwards(
    deployment: Deployment, database: Server
) -> None:
    callback = deployment.callback()
    database.crash()
    during_the_outage = deployment.deliver(callback)
    database.start()

    until(lambda: is_back(deployment), what="the new connections of the web server")

    assert during_the_outage.is_unavailable, during_the_outage
    assert deployment.deliver(callback).status == 200


def test_b33_a_callback_does_not_wait_for_a_frozen_database(deployment: Deployment, database: Server) -> None:
    callback = deployment.callback()
    database.freeze()
    while_frozen = deployment.deliver(callback)
    database.thaw()

    assert while_frozen.is_unavailable, while_frozen
    until(lambda: deployment.deliver(callback).status == 200, what="200 for the callback")


@pytest.mark.parametrize("state", ["crashed", "frozen"])
def test_every_api_request_is_answered_503_during_the_outage(
    state: str, deployment: Deployment, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(state)

    answers = zip(REQUESTS, deployment.request_all(*REQUESTS), strict=True)

    assert [(sent, answer) for sent, answer in answers if not answer.is_unavailable] == []


def test_readiness_fails_and_names_the_database_while_liveness_succeeds(
    deployment: Deployment, crashed: Server
) -> None:
    live, ready = deployment.request("/health/live"), deployment.request("/health/ready")

    assert (live.status, ready.status, ready.body["parts"]["database"]) == (200, 503, "away")


def test_a_page_is_answered_503_with_a_text_for_people(deployment: Deployment, crashed: Server) -> None:
    # A session id, so that the page looks it up in the database. Django ignores ids below 8 characters.
    page = deployment.request("/login/", headers={"Cookie": "sessionid=unknown-session"})

    assert page.is_unavailable
    assert "Please try again in a moment" in page.body


def test_e12_connections_that_a_restart_closed_are_replaced(deployment: Deployment, database: Server) -> None:
    deployment.request_all(*REQUESTS)
    database.crash()
    database.start()

    assert until(deployment.is_healthy)


def test_e12_the_worker_completes_a_generation_after_a_restart(deployment: Deployment, database: Server) -> None:
    until(lambda: is_back(deployment))
    database.crash()
    database.start()
    until(lambda: is_back(deployment))

    path = f"/api/v1/generations/{deployment.order()}/"

    assert until(lambda: deployment.request(path).body["status"] == "completed", what="the generation")
