"""What a seed draws."""

from __future__ import annotations

import random

import pytest

from quality.chaos import fault_plan
from simulator.scenarios import read

pytestmark = pytest.mark.once


def test_the_same_seed_draws_the_same() -> None:
    assert fault_plan.draw(7, is_short=False) == fault_plan.draw(7, is_short=False)
    assert fault_plan.draw(7, is_short=False) != fault_plan.draw(9, is_short=False)


def test_half_of_the_seeds_leave_half_of_the_kinds_out() -> None:
    whole, half = (fault_plan.draw(seed, is_short=False) for seed in (1, 2))

    assert len(whole.kinds) >= 90
    assert len(half.kinds) >= 25
    assert set(half.orders) < set(whole.orders)
    assert set(half.nemesis) < set(whole.nemesis)
    assert [len(half.orders), len(half.nemesis)] == [-(-len(x) // 2) for x in (whole.orders, whole.nemesis)]


def test_the_simulator_knows_every_word_that_orders_ask_for() -> None:
    assert len(read(" ".join(fault_plan.ORDER_FAULTS)).scenarios) == len(fault_plan.ORDER_FAULTS)


def test_some_orders_are_left_in_peace() -> None:
    drawn = fault_plan.draw(1, is_short=True)
    chance = random.Random(1)

    spoilt = [bool(drawn.scenarios(chance)) for _ in range(300)]

    assert 0.3 < sum(spoilt) / 300 < 0.9
