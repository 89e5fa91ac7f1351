"""The faults that a seed selects: which kinds are active and how likely each of them is.

`draw` makes the plan. Load clients ask it for the scenarios of an order and for their own behaviour, the fault
injector for the faults that it injects, and Limn's processes read its failpoints from a file.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

# Scenarios of the simulator that strike before fal accepts a job, by the beginning of their name.
BEFORE_ACCEPT = ("status", "drop_before", "reset", "redirect")
# Scenarios that an order's prompt requests from the simulator, and the highest percentage of orders that request each.
ORDER_FAULTS: dict[str, float] = {
    "drop_before_acceptx1": 2,
    "drop_after_acceptx1": 4,
    "drop_after_accept": 1,
    "hang_after_acceptx1": 1,
    "resetx1": 2,
    "garbage200:jsonx1": 1,
    "garbage200:htmlx1": 1,
    "garbage200:no_request_id": 1,
    "garbage200:wrong_host": 1,
    "garbage200:other_request": 1,
    "redirectx1": 1,
    "status:422": 2,
    "status:404": 1,
    "status:408x1": 1,
    "status:409x1": 1,
    "status:425x1": 1,
    "status:429-retry-afterx1": 2,
    "status:429x2": 2,
    "status:500x1": 2,
    "status:500-barex1": 2,
    "status:502x1": 2,
    "status:503-nginxx1": 2,
    "status:504x1": 2,
    "callback:lost": 8,
    "callback:late": 4,
    "callback:double": 6,
    "callback:again_late": 8,
    "callback:early": 5,
    "callback:forged": 3,
    "callback:wrong_account": 3,
    "callback:mismatch": 2,
    "callback:stale": 2,
    "callback:null_payload": 5,
    "callback:error_null_payload": 2,
    "callback:reordered": 5,
    "callback:contradictory": 5,
    "callback:garbage": 2,
    "fail:generation_timeout": 2,
    "fail:content_policy_violation": 2,
    "fail:runner_disconnected": 2,
    "result:completed_with_error": 1,
    "result:504": 2,
    "result:410": 1,
    "poll:404x2": 2,
    "poll:500x2": 2,
    "poll:unknownx2": 1,
    "poll:back_to_queue": 1,
    "outputs:fewer": 2,
    "outputs:more": 2,
    "outputs:zero": 1,
    "outputs:data_uri": 2,
    "outputs:nested": 2,
    "outputs:evil_output_url": 1,
    "cdn:404x1": 2,
    "cdn:404": 1,
    "cdn:429x1": 2,
    "cdn:503x2": 3,
    "cdn:truncatedx1": 3,
    "cdn:cut_nolenx1": 3,
    "cdn:htmlx1": 2,
    "cdn:html@1": 1,
    "cdn:bombx1": 1,
    "cdn:huge": 0.5,
    "cdn:dripx1": 0.3,
    "cdn:redirect": 1,
    "cdn:wrong_type": 2,
    "cancel:completes_anyway": 3,
    "cancel:404": 1,
    "slow:8": 5,
}
# A drip lasts as long as one download may, and on a busy machine a web server needs seconds to restart. A run of a
# minute has no time for them.
TOO_SLOW_FOR_A_SHORT_RUN = {
    "kill -9 web",
    "SIGTERM web",
    "cdn:dripx1",
    "cdn:404",
    "cdn:html@1",
    "cdn:huge",
    "hang_after_acceptx1",
}

# What load clients do besides ordering and polling, in percent of their orders.
CLIENT_BEHAVIOURS: dict[str, float] = {
    "repeat": 15,
    "key reuse": 2,
    "concurrent repeat": 5,
    "cancel": 6,
    "retry": 3,
    "identical prompt": 3,
    "edit": 5,
}

# What the fault injector does, one after the other.
ENVIRONMENT_FAULTS = (
    "kill -9 worker",
    "kill -9 web",
    "kill -9 web child",
    "SIGTERM worker",
    "SIGTERM web",
    "SIGSTOP worker",
    "SIGSTOP web",
    "PostgreSQL crash",
    "PostgreSQL terminates backends",
    "PostgreSQL locked rows",
    "PostgreSQL blackhole",
    "PostgreSQL delay",
    "PostgreSQL reset",
    "S3 reset",
    "S3 blackhole",
    "S3 503",
    "S3 403",
    "S3 cut",
    "S3 delay",
    "fal reset",
    "fal blackhole",
    "fal cut",
    "fal delay",
    "fal locks the account",
    "JWKS down",
    "JWKS garbage",
    "JWKS rotated",
    "JWKS rotated, old key removed",
    "adjusted by staff",
)

# Failpoints of the product, the action there, and the percentage of passages that it strikes. No failpoint lies inside
# a transaction with a sleep: `PostgreSQL locked rows` covers that.
FAILPOINTS: dict[str, float] = {
    "created exit": 0.3,
    "noted exit": 0.5,
    "noted sleep": 0.5,
    "posted exit": 0.8,
    "posted sleep": 0.5,
    "kept exit": 0.5,
    "adopted exit": 0.3,
    "asked exit": 0.5,
    "asked sleep": 0.5,
    "answered exit": 0.3,
    "copied exit": 0.5,
    "copied sleep": 0.8,
    "completed exit": 0.3,
    # Few orders fail, so each failure is struck more often.
    "failed exit": 2.5,
}


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """The faults of one run. The same seed gives the same plan."""

    seed: int
    is_short: bool
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
        return {*active, *points, "late duplicate", "late contradiction"}

    @property
    def failpoint_file(self) -> str:
        """The content of the file that LIMN_FAILPOINTS names."""
        return "".join(f"{name} {percent / 100:.4f}\n" for name, percent in self.failpoints.items())

    def draw_scenarios(self, rng: random.Random) -> str:
        """Return the scenarios of one order, in the form that the simulator reads from a prompt."""
        drawn = [name for name, percent in self.order_faults.items() if rng.uniform(0, 100) < percent]
        return " ".join(f"[{name}]" for name in drawn)

    def draws_behaviour(self, name: str, rng: random.Random) -> bool:
        """Return whether a load client shows this behaviour for its current order."""
        return rng.uniform(0, 100) < self.client_behaviours.get(name, 0)


def draw(seed: int, *, is_short: bool) -> FaultPlan:
    """Return the plan of this seed.

    Even seeds leave out a random half of the order faults and of the environment faults: with fewer kinds, each is
    drawn more often next to the same others, so rare combinations are reached.
    """
    rng = random.Random(seed)
    excluded = TOO_SLOW_FOR_A_SHORT_RUN if is_short else set()
    order_faults = {
        name: rng.uniform(percent_max / 6, percent_max * 0.7)
        for name, percent_max in ORDER_FAULTS.items()
        if name not in excluded
    }
    # Environment faults take turns, so the plan says only which of them are active.
    environment_faults = [name for name in ENVIRONMENT_FAULTS if name not in excluded]
    if seed % 2 == 0:
        for name in rng.sample(sorted(order_faults), len(order_faults) // 2):
            del order_faults[name]
        for name in rng.sample(sorted(environment_faults), len(environment_faults) // 2):
            environment_faults.remove(name)
    return FaultPlan(
        seed=seed,
        is_short=is_short,
        order_faults=order_faults,
        client_behaviours=dict(CLIENT_BEHAVIOURS),
        environment_faults=tuple(environment_faults),
        failpoints=dict(FAILPOINTS),
    )
