"""GET /metrics: right to the unit, with any number of processes and after every restart."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.fal import Reason
from generations.models import Event, FailureCode, Generation, Phase, Submission
from generations.provider import circuit_breaker
from operations import metrics, running_totals, views
from operations.metrics import Collector
from simulator import Simulator
from tests.fixtures.orders import Ordering
from tests.helpers import lifecycle_facts
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import Courier
from tests.helpers.metrics import HERE, counters, scrape
from tests.helpers.source import ROOT
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db
FLUX = "fal-ai/flux/schnell"
TOKEN = "a-token-of-some-length"


@pytest.fixture(autouse=True)
def a_process_that_has_just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one counted belonged to another test's rows."""
    monkeypatch.setattr(views, "_collector", Collector())


def fail(attempt: Submission, code: str) -> None:
    lifecycle_facts.waiting(attempt)
    lifecycle.answered_error(attempt, Reason(code=code, retryable=False, errors=[], detail="no"))  # type: ignore[arg-type]


# --- What is counted ---


def test_an_order_from_fals_receipt_to_storage(client: Client, order: Ordering) -> None:
    generation = order()
    lifecycle_facts.storing(attempt := generation.submissions.get())
    lifecycle_facts.stored(attempt)
    Generation.objects.update(submitted_at=timezone.now() - timedelta(seconds=100), created_at="2026-01-01T00:00:00Z")

    seen = scrape(client)

    assert seen["fal_requests_total", FLUX, "accepted"] == 1
    assert seen["limn_generations_ended_total", "flux-schnell", "completed"] == 1
    assert seen["fal_api_credits_used_total",] == generation.credits
    assert seen["limn_copies_total", "stored"] == 1
    took = "fal_request_duration_seconds"
    assert [seen[f"{took}_bucket", FLUX, bound] for bound in ("60.0", "120.0", "+Inf")] == [0, 1, 1]
    assert 99 <= seen[f"{took}_sum", FLUX] < 100 + HANG_SECONDS
    assert [seen["limn_generation_seconds_bucket", bound, "flux-schnell"] for bound in ("600.0", "+Inf")] == [0, 1]


@pytest.mark.parametrize(
    "word, status, error",
    [
        ("status:429", "not_taken", "rate_limited"),
        ("status:503-bare", "not_taken", "unavailable"),
        ("status:422", "rejected", "invalid_input"),
        ("status:504-bare", "lost", "answer_lost"),
    ],
)
def test_what_fal_did_not_take(
    client: Client, fal: Simulator, order: Ordering, work: Work, word: str, status: str, error: str
) -> None:
    fal.script(word)
    order()
    work.submit()

    seen = scrape(client)

    assert (seen["fal_requests_total", FLUX, status], seen["fal_errors_total", error]) == (1, 1)
    assert seen["fal_rate_limit_hits_total",] == (error == "rate_limited")


def test_failures_by_type_and_who_told_of_them(client: Client, order: Ordering) -> None:
    for code in ("content_policy", "provider_error", "provider_error", "cancelled"):
        fail(order().submissions.get(), code)

    seen = scrape(client)

    assert (seen["fal_errors_total", "content_policy"], seen["fal_errors_total", "provider_error"]) == (1, 3)
    assert seen["limn_generations_ended_total", "flux-schnell", "failed"] == 4
    assert seen["limn_verdicts_total", "sweep"] == 4


def test_callbacks_by_what_became_of_them(
    client: Client, submitted: Submission, courier: Courier, fal: Simulator
) -> None:
    fal.finish(str(submitted.request_id))
    assert courier.deliver(submitted) == 200

    seen = scrape(client)

    assert seen["limn_callbacks_total", "applied"] == 1
    assert seen["limn_verdicts_total", "callback"] == 1


def test_what_is_under_way_its_age_and_what_it_holds(client: Client, alice: Account, order: Ordering) -> None:
    lifecycle_facts.storing(order().submissions.get())
    order()
    Generation.objects.filter(phase="queued").update(
        created_at=timezone.now() - timedelta(hours=2), next_attempt_at=timezone.now() - timedelta(minutes=5)
    )
    circuit_breaker.trip("locked")

    seen = scrape(client)

    assert [seen["limn_held_credits", age] for age in ("any", "5m", "1h", "1d")] == [6, 3, 3, 0]
    assert (seen["limn_generations_under_way", "queued"], seen["limn_generations_under_way", "storing"]) == (1, 1)
    assert (seen["limn_queue_depth", "submit"], seen["limn_queue_depth", "copy"]) == (1, 1)
    assert 299 <= seen["limn_queue_oldest_seconds", "submit"] < 300 + HANG_SECONDS
    assert seen["limn_breaker_open",] == 1


def test_a_model_that_left_the_catalogue_leaves_no_series_behind(client: Client, order: Ordering) -> None:
    fail(order().submissions.get(), "provider_error")
    Generation.objects.update(model="gone", endpoint="fal-ai/gone")

    seen = scrape(client)

    assert seen["fal_requests_total", "other", "accepted"] == 1
    assert not [key for key in seen if "gone" in str(key)]


# --- Right, whoever counts ---


def refused_for_now(attempt: Submission) -> None:
    """fal was sent too much; and then it failed for good."""
    lifecycle.submitting(attempt.generation)
    lifecycle.submission_refused(attempt, detail="429 from fal", retry_in_seconds=60)
    lifecycle.failed(attempt.generation, lifecycle.failure(FailureCode.DEADLINE), actor="test")


def erase_everything() -> None:
    for generation in Generation.objects.filter(phase=Phase.DONE):
        lifecycle.erase(generation, actor="test")


def test_who_has_counted_all_along_and_who_begins_now_agree_and_nothing_falls(
    order: Ordering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One settles row by row what is older than this moment; the other counts it all at once."""
    monkeypatch.setattr(running_totals, "SETTLED_AFTER", timedelta(0))
    monkeypatch.setattr(running_totals, "SLICE_ROWS", 2)
    steady = Collector()
    before: dict[tuple[Any, ...], float] = {}
    for _ in range(3):
        lifecycle_facts.storing(attempt := order().submissions.get())
        lifecycle_facts.stored(attempt)
        fail(order().submissions.get(), "provider_error")
        refused_for_now(order().submissions.get())
        now = counters(steady)
        erase_everything()
        assert now == counters(Collector())
        assert all(now[key] >= value for key, value in before.items())
        before = now


def test_what_has_settled_is_not_read_again(order: Ordering) -> None:
    fail(order().submissions.get(), "provider_error")
    Event.objects.update(created_at=timezone.now() - timedelta(hours=1))
    collector = Collector()
    first = counters(collector)

    Event.objects.all().delete()

    assert counters(collector) == first


def test_so_much_that_it_cannot_be_counted_at_once_is_counted_bit_by_bit(
    client: Client, order: Ordering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_totals, "SLICE_ROWS", 1)
    monkeypatch.setattr(running_totals, "SETTLED_AFTER", timedelta(0))
    monkeypatch.setattr(metrics, "COUNTING_SECONDS_MAX", -1)
    fail(order().submissions.get(), "provider_error")

    early = client.get("/metrics", headers=HERE)
    monkeypatch.setattr(metrics, "COUNTING_SECONDS_MAX", HANG_SECONDS)

    assert (early.status_code, early["Retry-After"]) == (503, "1")
    assert scrape(client)["fal_requests_total", FLUX, "accepted"] == 1


def test_it_asks_the_same_few_questions_however_many_orders_there_are(client: Client, order: Ordering) -> None:
    counts = []
    for _ in range(2):
        for _ in range(3):
            fail(order().submissions.get(), "provider_error")
        with CaptureQueriesContext(
            connection,
        ) as asked:
            scrape(client)
        counts.append(len(asked))

    assert counts[0] == counts[1] < 30


# --- Who may read it ---


@pytest.mark.parametrize(
    "token, headers, address, answered",
    [
        (TOKEN, {"Authorization": f"Bearer {TOKEN}"}, "10.0.0.1", True),
        (TOKEN, {"Authorization": "Bearer another"}, "10.0.0.1", False),
        (TOKEN, {"Authorization": f"Basic {TOKEN}"}, "127.0.0.1", False),
        (TOKEN, {}, "127.0.0.1", False),
        ("", {}, "127.0.0.1", True),
        ("", {}, "10.0.0.1", False),
        ("", {"Authorization": "Bearer "}, "10.0.0.1", False),
        ("", {"X-Forwarded-For": "6.6.6.6"}, "127.0.0.1", False),
        ("", {"Host": "limn.example.com"}, "127.0.0.1", False),
    ],
)
def test_it_is_for_prometheus_and_not_for_the_world(
    client: Client, settings, token: str, headers: dict[str, str], address: str, answered: bool
) -> None:
    settings.METRICS_TOKEN, settings.ALLOWED_HOSTS = token, ["limn.example.com", "127.0.0.1"]

    response = client.get("/metrics", headers={"Host": "127.0.0.1:8000", **headers}, REMOTE_ADDR=address)

    assert response.status_code == (200 if answered else 401)
    assert ("limn_" in response.content.decode()) is answered


@pytest.mark.parametrize("is_staff", [True, False])
def test_staff_may_read_it_in_their_browser(client: Client, settings, is_staff: bool) -> None:
    settings.METRICS_TOKEN = TOKEN
    client.force_login(User.objects.create_user("sam", is_staff=is_staff))

    assert client.get("/metrics", headers=HERE).status_code == (200 if is_staff else 401)


def test_every_metric_is_in_the_docs_and_the_docs_name_no_other(client: Client) -> None:
    text = client.get("/metrics", headers=HERE).content.decode()
    page = (ROOT / "docs/operations.md").read_text()

    served, told = re.findall(r"# TYPE (\w+) ", text), re.findall(r"^\| `((?:fal|limn)_\w+)", page, re.MULTILINE)
    assert sorted(told) == sorted(served)
