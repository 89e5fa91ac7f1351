"""The faults that a seed draws: which kinds are on, how often each, and what befalls one order."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

# These strike before fal takes a job.
BEFORE_ACCEPT = ("status", "drop_before", "reset", "redirect")
# What an order's prompt asks of the simulator, and the most of a hundred orders that it befalls.
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
# A drip lasts as long as a fetch may, and a web server that starts anew is away for seconds on a busy machine; in a run
# of a minute there is no time for them.
TOO_SLOW_FOR_A_SHORT_RUN = {
    "kill -9 web",
    "SIGTERM web",
    "cdn:dripx1",
    "cdn:404",
    "cdn:html@1",
    "cdn:huge",
    "hang_after_acceptx1",
}

# What clients do beside ordering and looking, in a hundred orders.
CLIENT_HABITS: dict[str, float] = {
    "repeat": 15,
    "other body": 2,
    "twins": 5,
    "cancel": 6,
    "retry": 3,
    "same wish": 3,
    "edit": 5,
}

NEMESIS = (
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
    "JWKS rotated, old one gone",
    "adjusted by staff",
)

# Places of generations/failpoints.py, what happens there, and the most of a hundred who pass that it befalls. Nobody
# sleeps inside a transaction: that is what `PostgreSQL locked rows` is for.
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
    # Failures are few.
    "failed exit": 2.5,
}


@dataclass(frozen=True, kw_only=True)
class Swarm:
    """Half of the seeds leave out a random half of the kinds, so that rare combinations are reached."""

    seed: int
    is_short: bool
    orders: dict[str, float] = field(default_factory=dict)
    habits: dict[str, float] = field(default_factory=dict)
    nemesis: tuple[str, ...] = ()
    failpoints: dict[str, float] = field(default_factory=dict)

    @property
    def kinds(self) -> set[str]:
        points = {f"failpoint {name}" for name in self.failpoints}
        return {*self.orders, *self.habits, *self.nemesis, *points, "late duplicate", "late contradiction"}

    @property
    def plan_of_failpoints(self) -> str:
        """What the file behind LIMN_FAILPOINTS says."""
        return "".join(f"{name} {percent / 100:.4f}\n" for name, percent in self.failpoints.items())

    def scenarios(self, chance: random.Random) -> str:
        """What befalls one order, written for its prompt."""
        drawn = [name for name, percent in self.orders.items() if chance.uniform(0, 100) < percent]
        return " ".join(f"[{name}]" for name in drawn)

    def has_habit(self, name: str, chance: random.Random) -> bool:
        return chance.uniform(0, 100) < self.habits.get(name, 0)


def draw(seed: int, *, is_short: bool) -> Swarm:
    chance = random.Random(seed)
    offered = {name: most for name, most in ORDER_FAULTS.items() if not (is_short and name in TOO_SLOW_FOR_A_SHORT_RUN)}
    orders = {name: chance.uniform(most / 6, most * 0.7) for name, most in offered.items()}
    nemesis = [name for name in NEMESIS if not (is_short and name in TOO_SLOW_FOR_A_SHORT_RUN)]
    if seed % 2 == 0:
        for some in (orders, nemesis):
            _halve(some, chance)
    return Swarm(
        seed=seed,
        is_short=is_short,
        orders=orders,
        habits=dict(CLIENT_HABITS),
        nemesis=tuple(nemesis),
        failpoints=dict(FAILPOINTS),
    )


def _halve(some: dict[str, float] | list[str], chance: random.Random) -> None:
    for name in chance.sample(sorted(some), len(some) // 2):
        if isinstance(some, dict):
            del some[name]
        else:
            some.remove(name)
