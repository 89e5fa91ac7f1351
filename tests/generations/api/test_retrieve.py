"""A generation as its owner sees it, from the order to the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from generations import lifecycle
from generations.models import Generation, Phase, Submission
from tests.fixtures.api import GENERATIONS, Ordering

pytestmark = pytest.mark.django_db
KEYS = [
    *("id", "model", "kind", "status", "phase", "version", "input", "metadata", "progress", "outputs", "details"),
    *("error", "credits", "fal_request_id", "batch", "retry_of", "sources", "parent", "idempotency_key"),
    *("created_at", "submitted_at", "answered_at", "finished_at", "erased_at", "urls"),
]


def read(api: APIClient, generation: Generation) -> dict:
    return dict(api.get(f"{GENERATIONS}{generation.pk}/").json())


def test_it_has_the_keys_that_we_promise_and_no_others(api: APIClient, completed: Ordering) -> None:
    body = read(api, completed())

    assert list(body) == KEYS
    assert list(body["progress"]) == ["queue_position", "percent", "message", "eta_seconds"]
    assert list(body["credits"]) == ["quoted", "held", "captured", "released", "rule", "why"]
    assert list(body["urls"]) == ["self", "cancel", "events", "stream", "page"]
    assert list(body["outputs"][0]) == [
        *("id", "index", "kind", "role", "content_type", "width", "height", "duration", "size", "sha256"),
        *("flagged", "url", "url_expires_at", "content_url"),
    ]


def test_a_completed_one_shows_its_files_and_what_they_cost(api: APIClient, completed: Ordering) -> None:
    body = read(api, completed(num_images=2))

    assert (body["status"], body["phase"], body["error"]) == ("completed", "done", None)
    paid = {"quoted": 6, "held": 0, "captured": 6, "released": 0}
    assert body["credits"] == paid | {"rule": "delivered", "why": "Every file was delivered."}
    assert [(output["index"], output["role"]) for output in body["outputs"]] == [(0, "images[0]"), (1, "images[1]")]
    assert body["finished_at"].endswith("Z")


def test_the_seed_that_was_used_is_told(api: APIClient, running: Ordering) -> None:
    generation = running()
    answer = {"images": [{"url": "https://v3.fal.media/0.png"}], "seed": 42, "prompt": "a cat"}
    lifecycle.answered(generation.submissions.get(), answer)

    assert read(api, generation)["details"] == {"seed": 42}


def test_before_fal_has_answered_there_is_nothing_to_tell(api: APIClient, running: Ordering) -> None:
    assert read(api, running())["details"] == {}


def test_only_files_that_have_arrived_are_shown(api: APIClient, storing: Ordering) -> None:
    body = read(api, storing(num_images=2))

    assert (body["status"], body["phase"]) == ("processing", "storing")
    assert body["outputs"] == []
    assert body["progress"]["message"] == "Copying 2 files"


def test_a_failed_one_answers_the_four_questions_and_quotes_nobody(api: APIClient, failed: Ordering) -> None:
    body = read(api, failed())

    assert body["error"] == {
        "code": "content_policy",
        "message": "The provider's content policy refused this. Change the prompt or the image.",
        "retryable": False,
        "charged": 0,
        "refunded": 3,
        "errors": [],
    }
    assert "forbidden fruit" not in str(body)


def test_the_newest_request_at_fal_is_the_one_that_is_named(api: APIClient, running: Ordering) -> None:
    generation = running()
    Submission.objects.create(generation=generation, number=2, request_id="newer")
    Submission.objects.create(generation=generation, number=3)

    assert read(api, generation)["fal_request_id"] == "newer"


def test_nobody_hears_how_long_it_takes_when_it_is_done(api: APIClient, order: Ordering, failed: Ordering) -> None:
    assert read(api, order())["progress"]["eta_seconds"] == 3
    assert read(api, failed())["progress"]["eta_seconds"] is None


def test_a_model_that_is_no_longer_on_offer_can_still_be_read(api: APIClient, order: Ordering) -> None:
    generation = order()
    Generation.objects.filter(pk=generation.pk).update(model="retired-1")

    assert read(api, generation)["progress"]["eta_seconds"] is None


def test_the_etag_is_the_version_and_spares_an_unchanged_answer(api: APIClient, running: Ordering) -> None:
    generation = running()
    first = api.get(f"{GENERATIONS}{generation.pk}/")

    again = api.get(f"{GENERATIONS}{generation.pk}/", headers={"If-None-Match": first["ETag"]})

    assert first["ETag"] == f'"{generation.version}"'
    assert (again.status_code, again.content) == (304, b"")
    assert again["Retry-After"] == "1"


def test_any_change_is_news(api: APIClient, running: Ordering) -> None:
    generation = running()
    etag = api.get(f"{GENERATIONS}{generation.pk}/")["ETag"]
    lifecycle.progressed(generation, running=False, position=4)

    news = api.get(f"{GENERATIONS}{generation.pk}/", headers={"If-None-Match": etag})

    assert news.status_code == 200
    assert news.json()["progress"]["queue_position"] == 4
    assert news.json()["phase"] == Phase.WAITING


@pytest.mark.parametrize("age_seconds, retry_after", [(0, 1), (40, 5), (3600, 30)])
def test_the_older_it_is_the_less_often_one_should_ask(
    alice: User, order: Ordering, age_seconds: int, retry_after: int
) -> None:
    generation = order()
    now = datetime.now(UTC)

    with time_machine.travel(now + timedelta(seconds=age_seconds), tick=False):
        client = APIClient()
        client.force_authenticate(alice)
        response = client.get(f"{GENERATIONS}{generation.pk}/")

    assert int(response["Retry-After"]) == retry_after


def test_there_is_nothing_to_wait_for_after_the_end(api: APIClient, completed: Ordering) -> None:
    assert "Retry-After" not in api.get(f"{GENERATIONS}{completed().pk}/")


def test_a_list_asks_the_database_no_more_for_many_than_for_one(settings, api: APIClient, completed: Ordering) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 0  # Counting them is a question now and then.
    completed()
    api.get(GENERATIONS)
    with CaptureQueriesContext(connection) as one:
        api.get(GENERATIONS)
    for _ in range(4):
        completed(num_images=2)

    with CaptureQueriesContext(connection) as many:
        assert len(api.get(GENERATIONS).json()["results"]) == 5

    assert len(many) == len(one) <= 4


def test_the_timeline_tells_facts_and_money_but_not_what_staff_wrote(api: APIClient, failed: Ordering) -> None:
    body = api.get(f"{GENERATIONS}{failed().pk}/events/").json()

    assert [event["fact"] for event in body["results"]] == ["ordered", "submitting", "submitted", "failed"]
    assert [event["actor"] for event in body["results"]] == ["user", "limn", "fal", "fal"]
    assert [event["held_change"] for event in body["results"]] == [3, 0, 0, -3]
    assert "forbidden fruit" not in str(body)
    assert "request-" not in str(body)
