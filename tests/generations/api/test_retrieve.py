"""GET /generations/<id>/: the JSON of a generation in every state, and the headers for polling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import api_keys
from accounts.models import ApiKey
from generations import lifecycle
from generations.models import Generation, Phase, Submission
from tests.fixtures.api import GENERATIONS, PlaceOrder, key_of
from tests.helpers.clocks import all_clocks_at

pytestmark = pytest.mark.django_db
KEYS = [
    *("id", "model", "kind", "status", "phase", "version", "input", "metadata", "progress", "outputs", "details"),
    *("error", "credits", "fal_request_id", "batch", "retry_of", "sources", "parent", "idempotency_key"),
    *("created_at", "submitted_at", "answered_at", "finished_at", "erased_at", "urls"),
]


def read(api: APIClient, generation: Generation) -> dict:
    return dict(api.get(f"{GENERATIONS}{generation.pk}/").json())


def test_a_generation_has_exactly_the_documented_keys(api: APIClient, completed: PlaceOrder) -> None:
    body = read(api, completed())

    assert list(body) == KEYS
    assert list(body["progress"]) == ["queue_position", "percent", "message", "eta_seconds"]
    assert list(body["credits"]) == ["quoted", "held", "captured", "released", "rule", "why"]
    assert list(body["urls"]) == ["self", "cancel", "events", "stream", "page"]
    assert list(body["outputs"][0]) == [
        *("id", "index", "kind", "role", "content_type", "width", "height", "duration", "size", "sha256"),
        *("flagged", "url", "url_expires_at", "content_url"),
    ]


def test_a_completed_generation_has_its_files_and_its_charge(api: APIClient, completed: PlaceOrder) -> None:
    body = read(api, completed(num_images=2))

    assert (body["status"], body["phase"], body["error"]) == ("completed", "done", None)
    paid = {"quoted": 6, "held": 0, "captured": 6, "released": 0}
    assert body["credits"] == paid | {"rule": "delivered", "why": "Every file was delivered."}
    assert [(output["index"], output["role"]) for output in body["outputs"]] == [(0, "images[0]"), (1, "images[1]")]
    assert body["finished_at"].endswith("Z")


def test_the_details_contain_the_seed(api: APIClient, running: PlaceOrder) -> None:
    generation = running()
    answer = {"images": [{"url": "https://v3.fal.media/0.png"}], "seed": 42, "prompt": "a cat"}
    lifecycle.answered(generation.submissions.get(), answer)

    assert read(api, generation)["details"] == {"seed": 42}


def test_before_the_answer_of_fal_there_are_no_details(api: APIClient, running: PlaceOrder) -> None:
    assert read(api, running())["details"] == {}


def test_only_stored_files_are_shown(api: APIClient, storing: PlaceOrder) -> None:
    body = read(api, storing(num_images=2))

    assert (body["status"], body["phase"]) == ("processing", "storing")
    assert body["outputs"] == []
    assert body["progress"]["message"] == "Copying 2 files"


def test_a_failed_generation_has_its_error_without_the_words_of_fal(api: APIClient, failed: PlaceOrder) -> None:
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


def test_the_fal_request_id_is_that_of_the_latest_submission(api: APIClient, running: PlaceOrder) -> None:
    generation = running()
    Submission.objects.create(generation=generation, number=2, request_id="newer")
    Submission.objects.create(generation=generation, number=3)

    assert read(api, generation)["fal_request_id"] == "newer"


def test_a_generation_that_has_ended_has_no_estimate(api: APIClient, order: PlaceOrder, failed: PlaceOrder) -> None:
    # On a busy machine a second or two pass between the order and the response.
    assert 1 <= read(api, order())["progress"]["eta_seconds"] <= 3
    assert read(api, failed())["progress"]["eta_seconds"] is None


def test_a_generation_of_a_removed_model_can_be_read(api: APIClient, order: PlaceOrder) -> None:
    generation = order()
    Generation.objects.filter(pk=generation.pk).update(model="retired-1")

    assert read(api, generation)["progress"]["eta_seconds"] is None


def test_the_etag_is_the_version_and_an_unchanged_generation_is_not_sent_again(
    api: APIClient, running: PlaceOrder
) -> None:
    generation = running()
    first = api.get(f"{GENERATIONS}{generation.pk}/")

    second = api.get(f"{GENERATIONS}{generation.pk}/", headers={"If-None-Match": first["ETag"]})

    assert first["ETag"] == f'"{generation.version}"'
    assert (second.status_code, second.content) == (304, b"")
    assert second["Retry-After"] == "1"


@pytest.mark.parametrize("etag", [None, "known"])
def test_a_key_that_is_no_longer_usable_is_refused_by_the_next_poll(
    alice: User, running: PlaceOrder, etag: str | None
) -> None:
    generation, now = running(), datetime.now(UTC)
    headers = {} if etag is None else {"If-None-Match": f'"{generation.version}"'}
    for change in ({"revoked_at": now}, {"expires_at": now - timedelta(seconds=1)}, {"scopes": ["order"]}):
        key, plain = api_keys.issue(alice, "test")
        headers["Authorization"] = f"Token {plain}"
        poll = partial(APIClient().get, f"{GENERATIONS}{generation.pk}/", headers=headers)
        assert poll().status_code == (304 if etag else 200)

        ApiKey.objects.filter(pk=key.pk).update(**change)

        assert poll().status_code == (403 if "scopes" in change else 401)


@pytest.mark.parametrize("etag", [None, "known"])
def test_a_generation_of_another_user_is_not_found(
    running: PlaceOrder, api: APIClient, bob: User, etag: str | None
) -> None:
    generation = running()
    headers = {} if etag is None else {"If-None-Match": f'"{generation.version}"'}

    for method in ("get", "head", "delete"):
        response = getattr(key_of(bob), method)(f"{GENERATIONS}{generation.pk}/", headers=headers)
        assert (response.status_code, "ETag" in response) == (404, False), method
    assert api.get(f"{GENERATIONS}{generation.pk}/").status_code == 200


def test_the_last_use_of_a_key_is_recorded_by_a_poll(api: APIClient, running: PlaceOrder) -> None:
    assert read(api, running())

    assert ApiKey.objects.get().last_used_at is not None


def test_a_changed_generation_is_sent_again(api: APIClient, running: PlaceOrder) -> None:
    generation = running()
    etag = api.get(f"{GENERATIONS}{generation.pk}/")["ETag"]
    lifecycle.progressed(generation, running=False, position=4)

    changed = api.get(f"{GENERATIONS}{generation.pk}/", headers={"If-None-Match": etag})

    assert changed.status_code == 200
    assert changed.json()["progress"]["queue_position"] == 4
    assert changed.json()["phase"] == Phase.WAITING


@pytest.mark.parametrize("age_seconds, retry_after", [(0, 1), (40, 5), (3600, 30)])
def test_retry_after_grows_with_the_age_of_the_generation(
    alice: User, order: PlaceOrder, age_seconds: int, retry_after: int
) -> None:
    generation = order()
    now = datetime.now(UTC)

    with all_clocks_at(now + timedelta(seconds=age_seconds)):
        client = APIClient()
        client.force_authenticate(alice)
        response = client.get(f"{GENERATIONS}{generation.pk}/")

    assert int(response["Retry-After"]) == retry_after


def test_a_generation_that_has_ended_has_no_retry_after(api: APIClient, completed: PlaceOrder) -> None:
    assert "Retry-After" not in api.get(f"{GENERATIONS}{completed().pk}/")


def test_a_list_of_many_takes_as_many_queries_as_a_list_of_one(settings, api: APIClient, completed: PlaceOrder) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 0  # The rate limit takes a query now and then.
    completed()
    api.get(GENERATIONS)
    with CaptureQueriesContext(connection) as one:
        api.get(GENERATIONS)
    for _ in range(4):
        completed(num_images=2)

    with CaptureQueriesContext(connection) as many:
        assert len(api.get(GENERATIONS).json()["results"]) == 5

    assert len(many) == len(one) <= 4


def test_the_timeline_shows_facts_and_credits_without_names_and_details(api: APIClient, failed: PlaceOrder) -> None:
    body = api.get(f"{GENERATIONS}{failed().pk}/events/").json()

    assert [event["fact"] for event in body["results"]] == ["ordered", "submitting", "submitted", "failed"]
    assert [event["actor"] for event in body["results"]] == ["user", "limn", "fal", "fal"]
    assert [event["held_change"] for event in body["results"]] == [3, 0, 0, -3]
    assert "forbidden fruit" not in str(body)
    assert "request-" not in str(body)
