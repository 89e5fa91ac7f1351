"""The statement of the callback view stores what the ORM would store, and only if the callback is genuine."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from generations.callbacks.statements import store_callback
from generations.models import FalAccount, Generation, ProviderCallback, Submission
from tests.fixtures.callbacks import SubmitMany

pytestmark = pytest.mark.django_db


@pytest.fixture
def callback(submitted: Submission) -> dict[str, Any]:
    """The arguments of a callback that belongs to `submitted`."""
    return {
        "submission_id": submitted.pk,
        "token": submitted.token,
        "request_id": submitted.request_id,
        "user_id": "ours",
        "account_is_known": True,
        "body": b"\x00{}",
        "body_sha256": "f" * 64,
    }


def test_it_stores_the_row_that_the_orm_would_store(callback: dict[str, Any], submitted: Submission) -> None:
    assert store_callback(**callback) == "received"

    row = ProviderCallback.objects.get()
    expected = ProviderCallback(
        pk=row.pk,
        submission=submitted,
        received_at=row.received_at,
        **{name: callback[name] for name in ("request_id", "body", "body_sha256")},
    )
    columns = [field.attname for field in ProviderCallback._meta.concrete_fields if field.name != "body"]
    assert [getattr(row, name) for name in columns] == [getattr(expected, name) for name in columns]
    assert bytes(row.body) == b"\x00{}"
    assert abs((timezone.now() - row.received_at).total_seconds()) < 60


def test_a_repetition_is_counted(callback: dict[str, Any]) -> None:
    outcomes = [store_callback(**callback) for _ in range(3)]

    assert outcomes == ["received"] * 3
    assert ProviderCallback.objects.get().repeats == 2


@pytest.mark.parametrize("change", [{"submission_id": uuid4()}, {"token": "guessed"}, {"account_is_known": False}])
def test_another_submission_token_or_account_stores_nothing(callback: dict[str, Any], change: dict[str, Any]) -> None:
    assert store_callback(**callback | change) is None
    assert not ProviderCallback.objects.exists()


def test_the_pinned_account_is_accepted(callback: dict[str, Any], submitted: Submission) -> None:
    FalAccount.objects.create(user_id="ours", pinned_by=submitted)

    assert store_callback(**callback | {"account_is_known": False}) == "received"
    assert store_callback(**callback | {"account_is_known": False, "user_id": "another"}) is None


def test_the_request_of_another_generation_stores_nothing(callback: dict[str, Any], submit_many: SubmitMany) -> None:
    (other,) = submit_many(1)

    assert store_callback(**callback | {"request_id": other.request_id}) is None


def test_a_submission_that_was_never_sent_has_no_callback(callback: dict[str, Any], submitted: Submission) -> None:
    planned = Submission.objects.create(generation=Generation.objects.get(), number=2)

    assert store_callback(**callback | {"submission_id": planned.pk, "token": planned.token}) is None
