"""The faults that a seed selects: which kinds are active and how likely each of them is.

`draw` makes the plan from the tables of `fault_kinds`. Load clients ask it for the scenarios of an order and for their
own behaviour, the fault injector for the faults that it injects, the environment for its topology, and Limn's processes
read its failpoints from a file.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from quality.chaos import fault_kinds

# How often something occurs that is selected by name, in percent.
ONLY_PERCENT = 10.0


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What the installation under test consists of."""

    workers: int = 2
    has_pgbouncer: bool = False
    """PgBouncer stands before PostgreSQL, in transaction mode."""
    has_neighbour: bool = False
    """A second deployment uses the same bucket and the same fal account."""

    @property
    def kinds(self) -> list[str]:
        """What distinguishes it, by the names under which it is counted."""
        names = {fault_kinds.PGBOUNCER: self.has_pgbouncer, fault_kinds.NEIGHBOUR: self.has_neighbour}
        return [f"{self.workers} workers", *(name for name, is_present in names.items() if is_present)]


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """The faults of one run. The same seed gives the same plan."""

    seed: int
    is_short: bool
    topology: Topology = Topology()
    order_faults: dict[str, float] = field(default_factory=dict)
    """Percentage of orders that request each scenario."""
    client_behaviours: dict[str, float] = field(default_factory=dict)
    environment_faults: tuple[str, ...] = ()
    failpoints: dict[str, float] = field(default_factory=dict)

    @property
    def kinds(self) -> set[str]:
        """Every kind of fault that the run is expected to hit, by the name under which it is counted."""
        points = {f"failpoint {name}" for name in self.failpoints}
        active = {*self.order_faults, *self.client_behaviours, *self.environment_faults}
        return {*active, *points, *self.topology.kinds, "late duplicate", "late contradiction"}

    @property
    def failpoint_file(self) -> str:
        """The content of the file that LIMN_FAILPOINTS names."""
        return "".join(f"{name} {percent / 100:.4f}\n" for name, percent in self.failpoints.items())

    def only(self, kinds: set[str]) -> FaultPlan:
        """Return a plan with these kinds alone, whether the seed has selected them or not: to look for a cause."""
        return replace(
            self,
            topology=Topology(
                workers=4 if "4 workers" in kinds else 2,
                has_pgbouncer=fault_kinds.PGBOUNCER in kinds,
                has_neighbour=fault_kinds.NEIGHBOUR in kinds,
            ),
            order_faults={name: ONLY_PERCENT for name in fault_kinds.ORDER_FAULTS if name in kinds},
            client_behaviours={name: ONLY_PERCENT for name in fault_kinds.CLIENT_BEHAVIOURS if name in kinds},
            environment_faults=tuple(name for name in fault_kinds.ENVIRONMENT_FAULTS if name in kinds),
            failpoints={name: ONLY_PERCENT for name in fault_kinds.FAILPOINTS if f"failpoint {name}" in kinds},
        )

    def draw_scenarios(self, rng: random.Random) -> str:
        """Return the scenarios of one order, in the form that the simulator reads from a prompt."""
        drawn = [name for name, percent in self.order_faults.items() if rng.uniform(0, 100) < percent]
        return " ".join(f"[{name}]" for name in drawn)

    def draws_behaviour(self, name: str, rng: random.Random) -> bool:
        """Return whether a load client shows this behaviour for its current order."""
        return rng.uniform(0, 100) < self.client_behaviours.get(name, 0)


def draw(seed: int, *, is_short: bool, unavailable: frozenset[str] = frozenset()) -> FaultPlan:
    """Return the plan of this seed.

    Even seeds leave out a random half of the order faults and of the environment faults: with fewer kinds, each is
    drawn more often next to the same others, so rare combinations are reached.

    Args:
        unavailable: Kinds that this machine cannot inject. All else is drawn as on a machine that can.
    """
    rng = random.Random(seed)
    excluded = fault_kinds.TOO_SLOW_FOR_A_SHORT_RUN if is_short else frozenset()
    workers, has_pgbouncer, has_neighbour = rng.choice((2, 4)), rng.random() < 0.5, rng.random() < 0.5
    order_faults = {
        name: rng.uniform(percent_max / 6, percent_max * 0.7)
        for name, percent_max in fault_kinds.ORDER_FAULTS.items()
        if name not in excluded
    }
    # Environment faults take turns, so the plan says only which of them are active.
    environment_faults = [name for name in fault_kinds.ENVIRONMENT_FAULTS if name not in excluded]
    if seed % 2 == 0:
        for name in rng.sample(sorted(order_faults), len(order_faults) // 2):
            del order_faults[name]
        for name in rng.sample(sorted(environment_faults), len(environment_faults) // 2):
            environment_faults.remove(name)
    behaviours = {**fault_kinds.CLIENT_BEHAVIOURS, **(fault_kinds.SHORT_RUN_BEHAVIOURS if is_short else {})}
    return FaultPlan(
        seed=seed,
        is_short=is_short,
        topology=Topology(
            # More workers and a second deployment only slow a short run down.
            workers=2 if is_short else workers,
            has_pgbouncer=has_pgbouncer and fault_kinds.PGBOUNCER not in unavailable,
            has_neighbour=has_neighbour and not is_short,
        ),
        order_faults=order_faults,
        client_behaviours={name: percent for name, percent in behaviours.items() if name not in excluded},
        environment_faults=tuple(name for name in environment_faults if name not in unavailable),
        failpoints=dict(fault_kinds.FAILPOINTS),
    )
