"""What a restore of the database has undone, and what clients forget then."""

from __future__ import annotations

import random
import threading

import pytest

from quality.chaos import fault_plan
from quality.chaos.api_client import ApiClient
from quality.chaos.counters import Counters
from quality.chaos.gate import Gate
from quality.chaos.load_clients import LoadClient, OrderLimit
from quality.chaos.losses import Content, Losses

pytestmark = pytest.mark.once

BEFORE = Content(
    versions={"kept": 3, "changed": 7, "lost": 2},
    submissions={"s-kept": "accepted", "s-changed": "accepted", "s-lost": "sent"},
    outputs={"o-kept": "kept.png", "o-lost": "lost.png"},
)
AFTER = Content(
    versions={"kept": 3, "changed": 4},
    submissions={"s-kept": "accepted", "s-changed": "sent"},
    outputs={"o-kept": "kept.png", "o-erased": "erased.png"},
)


def test_losses_are_the_difference_between_before_and_after() -> None:
    losses = Losses()

    losses.add(BEFORE, AFTER)

    assert (losses.generations, losses.submissions) == ({"lost"}, {"s-lost"})
    assert losses.changed_submissions == {"s-changed"}
    assert (losses.orphaned_files, losses.deleted_files) == ({"lost.png"}, {"erased.png"})


def test_a_client_forgets_what_a_restore_has_undone() -> None:
    client = make_client()
    client.known.versions = dict(BEFORE.versions)
    client.known.finished = {pk: {"version": version} for pk, version in BEFORE.versions.items()}
    client.known.finished_request_ids = dict.fromkeys(BEFORE.versions, "request")
    client.known.images = {"o-kept": "kept", "o-lost": "lost"}

    client.known.forget_lost(AFTER)

    assert client.known.versions == {"kept": 3, "changed": 4}
    # What had ended after the dump is in progress again.
    assert (set(client.known.finished), client.known.unfinished) == ({"kept"}, ["changed"])
    # Otherwise the replayer would contradict a job before Limn knows its end.
    assert client.known.finished_request_ids.keys() == {"kept"}
    assert client.known.images == {"o-kept": "kept"}


def test_the_last_batch_may_exceed_the_limit_of_orders() -> None:
    limit = OrderLimit(10)

    assert [limit.take(), limit.take(20), limit.take()] == [True, True, False]


def make_client() -> LoadClient:
    counters = Counters()
    return LoadClient(
        name="client",
        api=ApiClient(1, "token", counters),
        plan=fault_plan.draw(1, is_short=True),
        counters=counters,
        rng=random.Random(1),
        stop=threading.Event(),
        order_limit=OrderLimit(1),
        gate=Gate(),
        account_id=1,
    )
