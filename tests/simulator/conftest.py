"""Fixtures of the simulator's tests: a simulator 200 times faster than fal, a client, and a receiver of callbacks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulator import Simulator
from tests.simulator.queue_client import SPEED, CallbackReceiver, QueueClient, callback_receiver


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests once, not for each database: the simulator does not use Limn's."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker("once")


@pytest.fixture
def fal() -> Iterator[Simulator]:
    with Simulator(speed=SPEED) as simulator:
        yield simulator


@pytest.fixture
def queue_client(fal: Simulator) -> Iterator[QueueClient]:
    client = QueueClient(fal)
    with client.http:
        yield client


@pytest.fixture
def receiver() -> Iterator[CallbackReceiver]:
    with callback_receiver() as running:
        yield running
