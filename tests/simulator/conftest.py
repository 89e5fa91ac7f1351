"""fal at two hundred times its speed, and somebody who orders there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulator import Simulator
from tests.simulator.customer import Customer, Receiver, receiver


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """None of these tests needs our database."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker("once")


@pytest.fixture
def fal() -> Iterator[Simulator]:
    with Simulator(speed=200) as simulator:
        yield simulator


@pytest.fixture
def customer(fal: Simulator) -> Iterator[Customer]:
    somebody = Customer(fal)
    with somebody.http:
        yield somebody


@pytest.fixture
def inbox() -> Iterator[Receiver]:
    with receiver() as found:
        yield found
