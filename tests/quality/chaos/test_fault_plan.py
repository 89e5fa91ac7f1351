"""The faults that a seed selects."""

from __future__ import annotations

import random

import pytest

from quality.chaos import fault_kinds, fault_plan
from simulator.scenarios import parse

pytestmark = pytest.mark.once


def test_the_same_seed_gives_the_same_plan() -> None:
    assert fault_plan.draw(7, is_short=False) == fault_plan.draw(7, is_short=False)
    assert fault_plan.draw(7, is_short=False) != fault_plan.draw(9, is_short=False)


def test_an_even_seed_leaves_out_half_of_the_kinds() -> None:
    whole, half = (fault_plan.draw(seed, is_short=False) for seed in (1, 2))

    assert len(whole.kinds) >= 90
    assert set(half.order_faults) < set(whole.order_faults)
    assert set(half.environment_faults) < set(whole.environment_faults)
    assert len(half.order_faults) == -(-len(whole.order_faults) // 2)
    assert len(half.environment_faults) == -(-len(whole.environment_faults) // 2)


def test_the_simulator_knows_every_scenario_that_orders_request() -> None:
    assert len(parse(" ".join(fault_kinds.ORDER_FAULTS)).scenarios) == len(fault_kinds.ORDER_FAULTS)


def test_some_orders_request_no_scenario() -> None:
    plan = fault_plan.draw(1, is_short=True)
    rng = random.Random(1)

    with_faults = sum(bool(plan.draw_scenarios(rng)) for _ in range(300))

    assert 0.3 < with_faults / 300 < 0.9


def test_the_seed_selects_the_topology_of_a_long_run() -> None:
    topologies = [fault_plan.draw(seed, is_short=False).topology for seed in range(40)]

    assert {topology.workers for topology in topologies} == {2, 4}
    assert {topology.has_pgbouncer for topology in topologies} == {True, False}
    assert {fault_plan.draw(seed, is_short=True).topology.workers for seed in range(40)} == {2}


def test_a_kind_that_this_machine_cannot_inject_changes_nothing_else() -> None:
    everywhere = fault_plan.draw(1, is_short=False)
    name = everywhere.environment_faults[0]

    here = fault_plan.draw(1, is_short=False, unavailable=frozenset({name}))

    assert here.kinds == everywhere.kinds - {name}
    assert here.order_faults == everywhere.order_faults


def test_kinds_can_be_selected_by_name() -> None:
    kinds = {"kill -9 worker", "callback:lost", "erase", "failpoint posted exit", fault_kinds.PGBOUNCER, "4 workers"}

    plan = fault_plan.draw(1, is_short=True).only(kinds)

    assert plan.kinds - kinds == {"late duplicate", "late contradiction"}
    assert kinds <= plan.kinds
