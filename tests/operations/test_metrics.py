"""GET /metrics: exact with any number of processes and after every restart, and only for Prometheus and staff."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.fal import Reason
from generations.models import Event, FailureCode, Generation, Phase, ProviderCallback, StorageReport, Submission
from generations.provider import circuit_breaker
from operations import metric_sums, metrics, running_totals
from operations.metrics import Collector
from operations.models import StoredSums
from operations.running_totals import Key
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers import lifecycle_facts
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.metrics import HERE, counters, scrape
from tests.helpers.source import ROOT
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db
FLUX = "fal-ai/flux/schnell"
TOKEN = "a-token-of-some-length"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape may take as long as the machine needs."""
    monkeypatch.setattr(metrics, "COUNTING_SECONDS_MAX", HANG_SECONDS)


def fail(submission: Submission, code: str) -> None:
    lifecycle_facts.reach_waiting(submission)
    reason = Reason(code=code, retryable=False, errors=[], detail="no")  # type: ignore[arg-type]
    lifecycle.answered_error(submission, reason)


# --- What is counted ------------------------------------------------------------------------------------------------


def test_a_completed_order_is_counted_in_every_metric(client: Client, order: PlaceOrder) -> None:
    generation = order()
    submission = generation.submissions.get()
    lifecycle_facts.reach_storing(submission)
    lifecycle_facts.stored(submission)
    Generation.objects.update(submitted_at=timezone.now() - timedelta(seconds=100), created_at="2026-01-01T00:00:00Z")

    samples = scrape(client)

    assert samples["fal_requests_total", FLUX, "accepted"] == 1
    assert samples["limn_generations_ended_total", "flux-schnell", "completed"] == 1
    assert samples["fal_api_credits_used_total",] == generation.credits
    assert samples["limn_copies_total", "stored"] == 1
    duration = "fal_request_duration_seconds"
    assert [samples[f"{duration}_bucket", FLUX, bound] for bound in ("60.0", "120.0", "+Inf")] == [0, 1, 1]
    assert 99 <= samples[f"{duration}_sum", FLUX] < 100 + HANG_SECONDS
    assert [samples["limn_generation_seconds_bucket", bound, "flux-schnell"] for bound in ("600.0", "+Inf")] == [0, 1]


@pytest.mark.parametrize(
    "scenario, status, error",
    [
        ("status:429", "not_taken", "rate_limited"),
        ("status:503-bare", "not_taken", "unavailable"),
        ("status:422", "rejected", "invalid_input"),
        ("status:504-bare", "lost", "answer_lost"),
    ],
)
def test_a_failed_submission_is_counted_by_outcome_and_by_type(
    client: Client, fal: Simulator, order: PlaceOrder, work: Work, scenario: str, status: str, error: str
) -> None:
    fal.script(scenario)
    order()
    work.submit()

    samples = scrape(client)

    assert (samples["fal_requests_total", FLUX, status], samples["fal_errors_total", error]) == (1, 1)
    assert samples["fal_rate_limit_hits_total",] == (error == "rate_limited")


def test_failures_are_counted_by_type_and_their_verdicts_as_polled(client: Client, order: PlaceOrder) -> None:
    for code in ("content_policy", "provider_error", "provider_error", "cancelled"):
        fail(order().submissions.get(), code)

    samples = scrape(client)

    assert (samples["fal_errors_total", "content_policy"], samples["fal_errors_total", "provider_error"]) == (1, 3)
    assert samples["limn_generations_ended_total", "flux-schnell", "failed"] == 4
    assert samples["limn_verdicts_total", "sweep"] == 4


def test_an_applied_callback_is_counted_with_its_verdict(
    client: Client, submitted: Submission, callbacks: CallbackSender, fal: Simulator
) -> None:
    fal.finish(str(submitted.request_id))
    assert callbacks.send(submitted) == 200

    samples = scrape(client)

    assert samples["limn_callbacks_total", "applied"] == 1
    assert samples["limn_verdicts_total", "callback"] == 1


def test_gauges_show_unfinished_work_its_age_and_its_credits(client: Client, alice: Account, order: PlaceOrder) -> None:
    lifecycle_facts.reach_storing(order().submissions.get())
    order()
    Generation.objects.filter(phase="queued").update(
        created_at=timezone.now() - timedelta(hours=2), next_attempt_at=timezone.now() - timedelta(minutes=5)
    )
    circuit_breaker.trip("locked")

    samples = scrape(client)

    assert [samples["limn_held_credits", age] for age in ("any", "5m", "1h", "1d")] == [6, 3, 3, 0]
    assert [samples["limn_generations_under_way", phase] for phase in ("queued", "storing", "running")] == [1, 1, 0]
    assert [samples["limn_queue_depth", queue] for queue in ("submit", "copy", "mail")] == [1, 1, 0]
    assert 299 <= samples["limn_queue_oldest_seconds", "submit"] < 300 + HANG_SECONDS
    assert samples["limn_breaker_open",] == 1


def test_gauges_show_the_unknown_and_the_missing_files_of_the_last_pass(client: Client) -> None:
    names = [("limn_storage_unknown_files",), ("limn_storage_missing_files",)]
    assert [scrape(client)[name] for name in names] == [0, 0]

    StorageReport.objects.create(unknown_files=3, unknown_bytes=9, missing_files=2, ended_at=timezone.now())

    assert [scrape(client)[name] for name in names] == [3, 2]


def test_a_model_that_is_not_in_the_catalogue_is_counted_as_other(client: Client, order: PlaceOrder) -> None:
    fail(order().submissions.get(), "provider_error")
    Generation.objects.update(model="removed", endpoint="fal-ai/removed")

    samples = scrape(client)

    assert samples["fal_requests_total", "other", "accepted"] == 1
    assert not [key for key in samples if "removed" in str(key)]


# --- Running totals -------------------------------------------------------------------------------------------------


def refuse_and_fail(submission: Submission) -> None:
    """fal answers with 429, and the generation fails at its deadline."""
    lifecycle.submitting(submission.generation)
    lifecycle.submission_refused(submission, detail="429 from fal", retry_in_seconds=60)
    lifecycle.failed(submission.generation, lifecycle.failure(FailureCode.DEADLINE), actor="test")


def erase_everything() -> None:
    for generation in Generation.objects.filter(phase=Phase.DONE):
        lifecycle.erase(generation, actor="test")


@pytest.fixture
def settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is settled when it is written, and a slice is two rows."""
    monkeypatch.setattr(running_totals, "SETTLED_AFTER", timedelta(0))
    monkeypatch.setattr(running_totals, "SLICE_ROWS", 2)


def advance() -> int:
    """Runs the worker until all settled rows are in the stored sums. Returns the number of slices."""
    return metric_sums.run_once(limit=1000)


def test_stored_sums_and_those_over_all_rows_agree_and_no_counter_falls(
    order: PlaceOrder, settle_at_once: None
) -> None:
    """The worker adds every row in slices as soon as it is written. Without stored sums, a scrape adds all at once."""
    before: dict[tuple[Any, ...], float] = {}
    for _ in range(3):
        submission = order().submissions.get()
        lifecycle_facts.reach_storing(submission)
        lifecycle_facts.stored(submission)
        fail(order().submissions.get(), "provider_error")
        refuse_and_fail(order().submissions.get())
        assert advance() > 3
        now = counters(Collector())
        with transaction.atomic():
            StoredSums.objects.all().delete()
            assert now == counters(Collector())
            transaction.set_rollback(True)
        assert all(now[key] >= value for key, value in before.items())
        erase_everything()
        before = now


def test_settled_rows_are_not_read_again(order: PlaceOrder) -> None:
    fail(order().submissions.get(), "provider_error")
    Event.objects.update(created_at=timezone.now() - timedelta(hours=1))
    advance()
    first = counters(Collector())

    Event.objects.all().delete()

    assert counters(Collector()) == first
    assert advance() == 0


def test_rows_that_may_still_be_overtaken_are_not_settled(order: PlaceOrder) -> None:
    """A transaction with a smaller id may commit later."""
    fail(order().submissions.get(), "provider_error")

    assert advance() == 0


def test_rows_of_a_clock_that_was_ahead_are_settled_with_later_rows(
    order: PlaceOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_totals, "SLICE_ROWS", 1)
    fail(order().submissions.get(), "provider_error")
    monkeypatch.setattr(running_totals, "LAG_ROWS_MAX", Event.objects.count() - 1)
    Event.objects.update(created_at=timezone.now() + timedelta(days=1))
    assert advance() == 0
    Event.objects.filter(id=Event.objects.latest("id").pk).update(created_at=timezone.now() - timedelta(hours=1))

    assert advance() > 0


def test_a_callback_is_settled_after_it_was_processed(
    submitted: Submission, settle_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = ProviderCallback.objects.create(submission=submitted, request_id="x", body=b"", body_sha256="x")
    later = ProviderCallback.objects.create(
        submission=None, request_id="x", body=b"", body_sha256="y", outcome="orphan"
    )
    advance()
    assert StoredSums.objects.get(name="callbacks").last_id < callback.pk
    ProviderCallback.objects.update(outcome="applied")
    advance()

    ProviderCallback.objects.all().delete()

    assert StoredSums.objects.get(name="callbacks").last_id == later.pk
    assert counters(Collector())["limn_callbacks_total", ("verdict", "applied")] == 2


def test_two_workers_that_add_the_same_rows_count_them_once(order: PlaceOrder, settle_at_once: None) -> None:
    """The other worker stores the slice, and all that follow, while this one adds it up."""
    fail(order().submissions.get(), "provider_error")
    expected = counters(Collector())
    events = metric_sums.TOTALS[0]

    def add_up_late(rows: QuerySet[Event]) -> Counter[Key]:
        added = events.add_up(rows)
        while events.advance():
            pass
        return added

    assert replace(events, add_up=add_up_late).advance()

    assert StoredSums.objects.get().last_id == Event.objects.latest("id").pk
    assert counters(Collector()) == expected
    # The negative control: the other worker's sums with this one's last id would count those rows twice.
    StoredSums.objects.update(last_id=Event.objects.earliest("id").pk + 1)
    assert counters(Collector()) != expected


def test_a_scrape_without_workers_adds_up_old_rows_itself_and_continues_after_its_deadline(
    client: Client, order: PlaceOrder, settle_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_totals, "LAG_ROWS_MAX", 1)
    monkeypatch.setattr(metrics, "COUNTING_SECONDS_MAX", -1)
    fail(order().submissions.get(), "provider_error")

    early = client.get("/metrics", headers=HERE)
    monkeypatch.setattr(metrics, "COUNTING_SECONDS_MAX", HANG_SECONDS)

    assert (early.status_code, early["Retry-After"]) == (503, "1")
    assert scrape(client)["fal_requests_total", FLUX, "accepted"] == 1
    assert StoredSums.objects.get(name="events").last_id > 0


def test_the_number_of_queries_does_not_depend_on_the_number_of_orders(client: Client, order: PlaceOrder) -> None:
    counts = []
    for _ in range(2):
        for _ in range(3):
            fail(order().submissions.get(), "provider_error")
        with CaptureQueriesContext(connection) as queries:
            scrape(client)
        counts.append(len(queries))

    assert counts[0] == counts[1] < 30


# --- Access ---------------------------------------------------------------------------------------------------------


def test_it_is_open_to_the_token_and_without_one_to_this_machine_only(client: Client, settings) -> None:
    settings.ALLOWED_HOSTS = ["limn.example.com", "127.0.0.1"]
    # METRICS_TOKEN, the headers, the client's address, and whether the request is answered.
    requests: list[tuple[str, dict[str, str], str, bool]] = [
        (TOKEN, {"Authorization": f"Bearer {TOKEN}"}, "10.0.0.1", True),
        (TOKEN, {"Authorization": "Bearer another"}, "10.0.0.1", False),
        (TOKEN, {"Authorization": f"Basic {TOKEN}"}, "127.0.0.1", False),
        (TOKEN, {}, "127.0.0.1", False),
        ("", {}, "127.0.0.1", True),
        ("", {}, "10.0.0.1", False),
        ("", {"Authorization": "Bearer "}, "10.0.0.1", False),
        ("", {"X-Forwarded-For": "6.6.6.6"}, "127.0.0.1", False),
        ("", {"Host": "limn.example.com"}, "127.0.0.1", False),
    ]

    for token, headers, address, is_answered in requests:
        settings.METRICS_TOKEN = token
        response = client.get("/metrics", headers={"Host": "127.0.0.1:8000", **headers}, REMOTE_ADDR=address)
        assert response.status_code == (200 if is_answered else 401), (token, headers, address)
        assert ("limn_" in response.content.decode()) is is_answered


@pytest.mark.parametrize("is_staff", [True, False])
def test_of_users_only_staff_may_read_it(client: Client, settings, is_staff: bool) -> None:
    settings.METRICS_TOKEN = TOKEN
    client.force_login(User.objects.create_user("sam", is_staff=is_staff))

    assert client.get("/metrics", headers=HERE).status_code == (200 if is_staff else 401)


def test_the_documentation_lists_exactly_these_metrics(client: Client) -> None:
    text = client.get("/metrics", headers=HERE).content.decode()
    page = (ROOT / "docs/operations.md").read_text()

    served = re.findall(r"# TYPE (\w+) ", text)
    listed = re.findall(r"^\| `((?:fal|limn)_\w+)", page, re.MULTILINE)
    assert sorted(listed) == sorted(served)
