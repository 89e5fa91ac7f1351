"""What an order costs, in SQL statements and in Python calls: both are independent of the machine."""

from __future__ import annotations

import json
from itertools import count

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import api_keys
from credits.models import Account
from generations.models import Generation
from simulator import Simulator
from tests.fixtures.orders import customer
from tests.services.request_cost import Request, RequestCost, measure

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_a_batch_of_200_takes_at_most_30_statements(fal: Simulator) -> None:
    """As many as a batch of two: the rows of all its orders are written together."""
    account = customer("ann")
    Account.objects.filter(pk=account.pk).update(balance=1_000_000)
    api = APIClient(headers={"Authorization": f"Token {api_keys.issue(account.user, 'bench').plain}"})
    inputs = [{"prompt": f"cat {number}"} for number in range(200)]

    with CaptureQueriesContext(connection) as captured:
        response = api.post("/api/v1/batches/", {"model": "flux-schnell", "inputs": inputs})

    assert (response.status_code, Generation.objects.count()) == (202, 200)
    assert len(captured) <= (30 if connection.vendor == "postgresql" else 45), captured.captured_queries
