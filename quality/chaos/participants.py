"""Makes the threads of a run once the tables exist: load clients, fault injector, continuous checks and replayer."""

from __future__ import annotations

import json
import random
import threading
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.db.models import Count

from accounts import api_keys
from credits import ledger
from credits.models import Account
from generations.models import Erasure, Generation, Phase
from quality.chaos import final_checks
from quality.chaos.api_client import ApiClient
from quality.chaos.continuous_checks import ContinuousChecks
from quality.chaos.counters import Counters
from quality.chaos.environment import Environment
from quality.chaos.evidence import Evidence
from quality.chaos.fault_context import FaultContext
from quality.chaos.fault_injector import FaultInjector
from quality.chaos.fault_plan import FaultPlan
from quality.chaos.gate import Gate
from quality.chaos.load_clients import LoadClient, OrderLimit
from quality.chaos.losses import Losses
from quality.chaos.outage_faults import OutageFaults
from quality.chaos.replayer import CallbackReplayer
from quality.chaos.strangers import Strangers

if TYPE_CHECKING:
    from quality.chaos.run import Size

LARGE_BALANCE, SMALL_BALANCE = 1_000_000, 200


class Participants:
    """Everything that acts in a run, or observes it."""

    def __init__(
        self,
        environment: Environment,
        plan: FaultPlan,
        size: Size,
        counters: Counters,
        *,
        stop_load: threading.Event,
        stop_all: threading.Event,
    ) -> None:
        self._environment, self._plan, self._counters = environment, plan, counters
        self._stop_load, self._order_limit = stop_load, OrderLimit(size.generations)
        # Each participant draws from a sequence of its own, so that no other changes what it does.
        rng = random.Random(plan.seed)
        self.losses, gate = Losses(), Gate()
        self.clients = [self._make_client(number, rng, gate) for number in range(size.clients)]
        self.neighbour_clients = self._make_neighbour_clients(rng)
        self.checks = ContinuousChecks(counters, stop_all, size.snapshot_seconds, gate)
        self.replayer = CallbackReplayer(
            environment, self.clients, counters, random.Random(rng.random()), stop_all, gate
        )
        self.strangers = Strangers(environment, self.clients, counters, random.Random(rng.random()), stop_load)
        self._context = FaultContext(
            environment=environment,
            counters=counters,
            rng=random.Random(rng.random()),
            stop=stop_load,
            fault_seconds=size.fault_seconds,
            clients=self.clients,
            gate=gate,
            losses=self.losses,
            forget_snapshots=self.checks.forget,
        )
        self.fault_injector = FaultInjector(self._context, plan, self.strangers, size.fault_pause_seconds)

    @property
    def all_clients(self) -> list[LoadClient]:
        """The clients of both installations."""
        return [*self.clients, *self.neighbour_clients]

    def _make_client(self, number: int, rng: random.Random, gate: Gate) -> LoadClient:
        # Two clients share one account, so that they compete for its balance; one pair soon has no credits left.
        pair = number // 2
        user, _ = User.objects.get_or_create(username=f"client{pair}")
        account = Account.objects.for_user(user)
        is_rich = pair != 1
        balance = LARGE_BALANCE if is_rich else SMALL_BALANCE
        ledger.grant(account, balance, key=f"chaos:{number}", actor="chaos")
        return LoadClient(
            name=f"client{number}",
            api=ApiClient(self._environment.limn.port, api_keys.issue(user, "chaos").plain, self._counters),
            plan=self._plan,
            counters=self._counters,
            rng=random.Random(rng.random()),
            stop=self._stop_load,
            order_limit=self._order_limit,
            gate=gate,
            account_id=account.pk,
            is_rich=is_rich,
        )

    def _make_neighbour_clients(self, rng: random.Random) -> list[LoadClient]:
        """Return the client of the second deployment. It orders what the others order too."""
        neighbour = self._environment.neighbour
        if neighbour is None:
            return []
        options = ("--username", "neighbour", "--credits", str(LARGE_BALANCE), "--json")
        login = json.loads(neighbour.run_command("demo_user", *options))
        client = LoadClient(
            name="neighbour",
            api=ApiClient(neighbour.port, login["token"], self._counters),
            plan=self._plan,
            counters=self._counters,
            rng=random.Random(rng.random()),
            stop=self._stop_load,
            order_limit=self._order_limit,
            # A restore of the other database does not concern it.
            gate=Gate(),
            account_id=0,
            is_rich=False,
        )
        return [client]

    def has_unfinished_work(self, *, undecided: bool = True) -> bool:
        """Return whether a generation is in progress or is being erased, or the database is unavailable.

        Args:
            undecided: Count also the generations of which neither fal nor its record tells whether there is a job. They
                end at their deadline.
        """
        generations = Generation.objects.in_progress()
        if not undecided:
            generations = generations.exclude(phase=Phase.UNKNOWN)
        try:
            is_unfinished = generations.exists() or Erasure.objects.filter(done_at=None).exists()
        except DatabaseError:
            connection.close()
            return True
        return is_unfinished or (undecided and any(client.known.unfinished for client in self.neighbour_clients))

    def pass_deadlines(self) -> None:
        """Let the deadline of everything pass that fal has not decided."""
        for generation in Generation.objects.in_progress().exclude(phase=Phase.UNKNOWN):
            self._counters.add_violation("I11", f"{generation.pk} is {generation.phase} long after the faults")
        undecided = Generation.objects.in_progress().count()
        self._counters.count_event("generations undecided until their deadline", undecided)
        OutageFaults(self._context).pass_deadlines()

    def run_final_checks(self) -> None:
        self.checks.check()
        final_checks.run(
            Evidence(
                environment=self._environment,
                clients=self.clients,
                neighbour_clients=self.neighbour_clients,
                strangers=self.strangers,
                losses=self.losses,
                counters=self._counters,
            )
        )

    def final_states(self) -> dict[str, int]:
        """Return how many generations ended in each status, with the failure code."""
        rows = Generation.objects.values("status", "failure_code").annotate(count=Count("pk")).order_by()
        return {" ".join(filter(None, (row["status"], row["failure_code"]))): row["count"] for row in rows}
