"""Which rows of the operations the database refuses by itself."""

from __future__ import annotations

import pytest
from django.utils import timezone

from operations.models import AlertEpisode, Charge, StoredSums
from tests.helpers.constraints import assert_enforced

pytestmark = pytest.mark.django_db


def test_the_database_enforces_each_constraint() -> None:
    now = timezone.now()

    def charge_twice() -> None:
        for _ in range(2):
            Charge.objects.create(request_id="r", endpoint="e", billed_at=now, units=1, dollars=1)

    def begin_twice() -> None:
        for _ in range(2):
            AlertEpisode.objects.create(name="spending", subject="alice", last_seen_at=now)

    def store_twice() -> None:
        for _ in range(2):
            StoredSums.objects.create(name="events")

    assert_enforced(
        "operations",
        [
            ("operations_charge_once", charge_twice),
            ("operations_one_episode", begin_twice),
            ("operations_sums_once", store_twice),
        ],
    )
