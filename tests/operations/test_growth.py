"""With 100,000 generations, no query of a loop, a list, an order or a page reads more than a bounded number of buffers.

`-s` shows what each of the largest statements reads. A new worker, and a new statement of one, is included by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from config.management.commands.work import WORKERS
from credits.models import Account, Entry
from generations import lifecycle
from generations.models import Event, Generation, ProviderCallback
from generations.workers.loops import Loops
from notifications.models import WebhookAttempt, WebhookDelivery
from operations import running_totals
from operations.models import StoredSums
from simulator import Simulator
from tests.fixtures.batches import token_of
from tests.fixtures.orders import PlaceOrder, customer
from tests.helpers import lifecycle_facts
from tests.helpers.clocks import just_passed
from tests.helpers.many_rows import fill
from tests.helpers.metrics import HERE
from tests.helpers.query_cost import Explainer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.only_postgresql, pytest.mark.long]

GENERATIONS = 100_000
CUSTOMERS = 20
SHOWN = 15
# What the workers have not added to the stored sums. One event costs up to ten buffers.
UNSETTLED_EVENTS = 30
FILTERS = (
    *("status=failed", "status=pending", "kind=image", "kind=video", "model=flux-schnell", "limit=100"),
    *("metadata.project=a", "metadata.project=b", "created_after=2100-01-01T00:00:00Z"),
)
LISTS = (
    *("generations/", *(f"generations/?{filter}" for filter in FILTERS)),
    *("credits/", "credits/entries/", "batches/", "uploads/", "events/", "keys/"),
    *("webhook-deliveries/", "webhook-deliveries/?state=exhausted"),
)
TABLES = ("generation", "submission", "providercallback")
PAGES = (
    *("/", "/?kind=image", "/?status=failed", "/credits/", "/keys/", "/notices/", "/uploads/", "/models/"),
    *("/metrics", "/metrics", "/health/live", "/health/ready", "/health/integrations/fal", "/admin/"),
    *(f"/admin/generations/{table}/" for table in TABLES),
    *("/admin/credits/hold/?q=customer+19", "/admin/notifications/webhookdelivery/?q=customer+19"),
    *("/admin/credits/entry/", "/admin/credits/hold/", "/admin/notifications/webhookdelivery/"),
)


@dataclass(frozen=True, kw_only=True)
class Months:
    """A database after months of work."""

    old: Generation
    """One of Alice's generations, from the middle of her list."""
    old_entry: Entry
    """One of her ledger entries, from the middle of her statement."""
    rare: Account
    """A customer who has not ordered for months."""


@pytest.fixture
def months(order: PlaceOrder, alice: Account, fal: Simulator) -> Months:
    generation = order()
    submission = generation.submissions.get()
    lifecycle_facts.reach_storing(submission)
    lifecycle.report_stuck(generation.outputs.get(), detail="the storage was away")
    lifecycle_facts.stored(submission)
    Generation.objects.filter(pk=generation.pk).update(metadata={"project": "a"})
    ProviderCallback.objects.create(
        submission=submission, request_id="x", body=b"{}", body_sha256="x", outcome="applied"
    )
    delivery = WebhookDelivery.objects.create(
        account=alice, generation=generation, url="https://example.com", type="generation.completed", state="delivered"
    )
    WebhookAttempt.objects.create(delivery=delivery, at=timezone.now(), duration_ms=5, status=200)
    others = [customer(f"customer {number}") for number in range(1, CUSTOMERS)]
    fill(generation, [alice.pk, *(other.pk for other in others)], count=GENERATIONS)
    for name, table in (("events", Event), ("callbacks", ProviderCallback)):
        StoredSums.objects.create(name=name, last_id=table.objects.latest("id").pk - UNSETTLED_EVENTS)
    # Work for the loops: one order to submit, and one to ask fal about.
    order(prompt="queued")
    lifecycle_facts.reach_waiting(order(prompt="waiting").submissions.get())
    Generation.objects.in_progress().update(next_attempt_at=just_passed())
    return Months(
        old=Generation.objects.filter(account=alice).order_by("-id")[GENERATIONS // 5],
        old_entry=alice.entries.order_by("-id")[GENERATIONS // 2],
        rare=others[-1],
    )


@pytest.fixture
def explainer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Explainer]:
    monkeypatch.setattr(running_totals, "SLICE_ROWS", UNSETTLED_EVENTS)
    explainer = Explainer()
    with explainer.watching():
        yield explainer
    for statement in sorted(explainer.statements, key=lambda statement: -statement.buffers)[:SHOWN]:
        print(statement)  # noqa: T201  (with -s)


def run_every_loop_once(explainer: Explainer) -> None:
    explainer.where = "watching"
    Loops(WORKERS).watch()
    for worker in WORKERS:
        explainer.where = worker.name
        worker.run_once(limit=worker.rows)


def request_everything(explainer: Explainer, client: APIClient | Client, paths: Iterable[str]) -> None:
    for path in paths:
        explainer.where = path
        assert client.get(path, headers=HERE).status_code in (200, 503), path


def test_no_query_reads_more_than_a_bounded_number_of_buffers(
    months: Months, api: APIClient, client: Client, explainer: Explainer
) -> None:
    run_every_loop_once(explainer)
    rare = APIClient()
    rare.credentials(HTTP_AUTHORIZATION=f"Token {token_of(months.rare)}")
    for caller in (api, rare):
        request_everything(explainer, caller, [f"/api/v1/{path}" for path in LISTS])
    request_everything(explainer, api, [f"/api/v1/generations/{months.old.pk}/"])
    explainer.where = "order"
    body = {"model": "flux-schnell", "input": {"prompt": "a dog"}}
    assert api.post("/api/v1/generations/", body, format="json").status_code == 202
    User.objects.filter(username="alice").update(is_staff=True, is_superuser=True)
    client.force_login(User.objects.get(username="alice"))
    deep = (f"/?before={months.old.pk}", f"/credits/?before={months.old_entry.pk}", f"/generations/{months.old.pk}/")
    request_everything(explainer, client, (*PAGES, *deep))

    too_much = [statement for statement in explainer.statements if statement.reads_too_much]
    # The negative control: this one has no index.
    explainer.where = "without an index"
    assert not Generation.objects.filter(queue_position=5).exists()
    assert explainer.statements[-1].reads_too_much
    assert not too_much, "\n".join(map(str, too_much))
