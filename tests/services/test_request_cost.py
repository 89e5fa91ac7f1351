"""`request_cost.measure` counts the statements and calls of one request, and returns its response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from tests.services import request_cost
from tests.services.request_cost import Request

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db(transaction=True)


@csrf_exempt
def count_users(request: HttpRequest) -> JsonResponse:
    with transaction.atomic(), transaction.atomic():
        return JsonResponse({"users": User.objects.count(), "bytes": len(request.body)}, status=202)


urlpatterns = [path("users/", count_users)]


def test_the_statements_of_transactions_are_counted(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__

    cost = request_cost.measure(lambda: Request(path="/users/", method="POST", body=b"[1]"))

    assert (cost.response.status, cost.response.content) == (202, b'{"users": 0, "bytes": 3}')
    assert cost.response.headers["Content-Type"] == "application/json"
    words = [statement.split()[0] for statement in cost.statements if not statement.startswith("PRAGMA")]
    assert words == ["BEGIN", "SAVEPOINT", "SELECT", "RELEASE", "COMMIT"]


def test_a_request_costs_the_same_number_of_calls_each_time() -> None:
    first, second = (request_cost.measure(lambda: Request(path="/health/live")) for _ in range(2))

    assert first.response.status == 200
    assert first.statements == ()
    assert 0 < first.calls == second.calls
