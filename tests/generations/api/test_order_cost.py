"""What an order costs, in SQL statements and in Python calls: both are independent of the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import api_keys
from credits import ledger
from credits.audit import audit
from credits.models import Account
from generations import lifecycle
from generations.api.order_requests import BATCH_MAX
from generations.models import Generation, InputFile, Phase
from notifications import endpoints
from notifications.models import WebhookDelivery
from simulator import Simulator
from tests.fixtures.orders import customer
from tests.helpers.images import insert_upload
from tests.services.request_cost import Request, RequestCost, measure

pytestmark = pytest.mark.django_db(transaction=True)
BATCHES = "/api/v1/batches/"
# No model takes more.
FILES = 14
ENDPOINTS = 5


@pytest.fixture(autouse=True)
def no_limits(settings) -> None:
    settings.USER_RUNNING_MAX = 0


def cost_of_orders(fal: Simulator) -> RequestCost:
    """The cost of an order of a customer with an API key, which is sent to fal at once."""
    user: User = customer("ann").user
    key = api_keys.issue(user, "bench").plain
    numbers = count()

    def next_order() -> Request:
        body = json.dumps({"model": "flux-schnell", "input": {"prompt": f"cat {next(numbers)}"}}).encode()
        return Request(path="/api/v1/generations/", method="POST", body=body, headers={"Authorization": f"Token {key}"})

    return measure(next_order)


def test_an_order_takes_at_most_14_statements_and_15_000_calls(fal: Simulator) -> None:
    """SQLite has no statement that writes to several tables, and no round trips either."""
    cost = cost_of_orders(fal)

    assert cost.response.status == 202
    assert len(cost.statements) <= (14 if connection.vendor == "postgresql" else 24), cost.statements
    assert cost.calls <= 15_000


STATEMENTS_MAX = 30 if connection.vendor == "postgresql" else 45
"""SQLite takes a statement for each table, and several for tables with many columns."""


@pytest.fixture
def rich(db: None) -> Account:
    """A customer who can afford every batch."""
    account = customer("ann")
    ledger.grant(account, 1_000_000, key="rich", actor="test")
    return account


@pytest.fixture
def api(rich: Account) -> APIClient:
    client = APIClient(headers={"Authorization": f"Token {api_keys.issue(rich.user, 'bench').plain}"})
    # The first request of a customer creates the bucket that counts them.
    client.get("/api/v1/credits/")
    return client


CATS = {"model": "flux-schnell", "inputs": [{"prompt": f"cat {number}"} for number in range(BATCH_MAX)]}


def statements_of(call: Callable[[], Any], *, status: int) -> int:
    """How many statements the call takes, which must be answered with this status."""
    with CaptureQueriesContext(connection) as captured:
        assert call().status_code == status
    return len(captured)


def test_a_batch_of_200_takes_at_most_30_statements(fal: Simulator, api: APIClient) -> None:
    """As many as a batch of two: the rows of all its orders are written together."""
    assert statements_of(lambda: api.post(BATCHES, CATS), status=202) <= STATEMENTS_MAX
    assert Generation.objects.count() == BATCH_MAX


def test_a_statement_for_each_item_is_noticed(fal: Simulator, api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the holds are opened one by one."""

    def hold_each(account: Account, amounts: dict[str, int], *, together: Any, reads: Any) -> Any:
        first, *others = amounts.items()
        values = hold_all(account, dict([first]), together=together, reads=reads)
        for other in others:
            hold_all(account, dict([other]))
        return values

    hold_all = ledger.hold_all
    monkeypatch.setattr(ledger, "hold_all", hold_each)

    assert statements_of(lambda: api.post(BATCHES, CATS), status=202) > BATCH_MAX


@pytest.fixture
def everything(rich: Account) -> dict[str, Any]:
    """A batch whose every item has files, metadata and a notification, of a customer with endpoints."""
    files = [{"upload": str(insert_upload(rich.user).pk)} for _ in range(FILES)]
    for _ in range(ENDPOINTS):
        endpoints.create(
            rich, "https://example.com/webhook", types=list(endpoints.SUBSCRIBABLE), credits_low_at=990_000
        )
    metadata = {f"key{number}": "x" * 500 for number in range(20)}
    inputs = [{"prompt": f"cat {number}", "image_urls": files} for number in range(BATCH_MAX)]
    return {"model": "nano-banana-pro-edit", "inputs": inputs, "metadata": metadata, "notify": True}


def test_files_metadata_and_notifications_take_no_more_statements(
    fal: Simulator, api: APIClient, everything: dict[str, Any]
) -> None:
    """All rows together have 28,000 parameters. PostgreSQL takes 65,535 in one statement, and SQLite 32,766."""
    assert statements_of(lambda: api.post(BATCHES, everything), status=202) <= STATEMENTS_MAX
    assert (Generation.objects.count(), InputFile.objects.count()) == (BATCH_MAX, FILES * BATCH_MAX)
    assert WebhookDelivery.objects.filter(type="credits.low").count() == ENDPOINTS


def test_a_repeated_batch_is_read_and_not_placed(fal: Simulator, api: APIClient, everything: dict[str, Any]) -> None:
    def post() -> Any:
        return api.post(BATCHES, everything, headers={"Idempotency-Key": "one"})

    post()

    assert statements_of(post, status=200) <= STATEMENTS_MAX
    assert statements_of(lambda: api.post(BATCHES, everything), status=409) <= STATEMENTS_MAX
    assert Generation.objects.count() == BATCH_MAX


def test_the_page_of_a_batch_of_200_takes_30_statements(
    fal: Simulator, api: APIClient, rich: Account, client: Client, everything: dict[str, Any]
) -> None:
    page = f"/batches/{api.post(BATCHES, everything).json()['id']}/"
    client.force_login(rich.user)

    for path, status in ((page, 200), (f"{page}status/", 200), (f"{page}status/?version={BATCH_MAX}", 204)):
        assert statements_of(partial(client.get, path), status=status) <= STATEMENTS_MAX, path
    assert statements_of(lambda: client.post(f"{page}cancel/"), status=302) <= STATEMENTS_MAX


def test_a_batch_of_200_is_read_in_30_statements(fal: Simulator, api: APIClient, everything: dict[str, Any]) -> None:
    url = f"{BATCHES}{api.post(BATCHES, everything).json()['id']}/"

    assert statements_of(lambda: api.get(url), status=200) <= STATEMENTS_MAX
    assert statements_of(lambda: api.get(BATCHES), status=200) <= STATEMENTS_MAX


def test_a_batch_of_200_is_cancelled_in_30_statements(
    fal: Simulator, api: APIClient, everything: dict[str, Any]
) -> None:
    """Half of it was submitted before. Each of its generations is reported to five endpoints."""
    batch = api.post(BATCHES, everything).json()["id"]
    for generation in Generation.objects.order_by("pk")[: BATCH_MAX // 2]:
        lifecycle.submitting(generation)

    assert statements_of(lambda: api.post(f"{BATCHES}{batch}/cancel/"), status=202) <= STATEMENTS_MAX

    assert Generation.objects.filter(phase=Phase.DONE).count() == BATCH_MAX // 2
    assert Generation.objects.filter(cancel_asked_at=None).count() == BATCH_MAX // 2
    assert WebhookDelivery.objects.filter(type="generation.failed").count() == BATCH_MAX // 2 * ENDPOINTS
    assert audit().clean
