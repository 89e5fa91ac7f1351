"""Makes the threads of a run once the tables exist: load clients, fault injector, continuous checks and replayer."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.db.models import Count

from accounts import api_keys
from credits import ledger
from credits.models import Account
from generations.models import Generation
from quality.chaos import final_checks
from quality.chaos.continuous_checks import ContinuousChecks
from quality.chaos.counters import Counters
from quality.chaos.environment import Environment
from quality.chaos.fault_injector import FaultInjector
from quality.chaos.fault_plan import FaultPlan
from quality.chaos.final_checks import Evidence
from quality.chaos.load_clients import ApiClient, LoadClient, OrderLimit
from quality.chaos.replayer import CallbackReplayer

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
        self._environment, self._counters = environment, counters
        rng = random.Random(plan.seed)
        api_port = int(environment.site_url.rpartition(":")[2])
        order_limit = OrderLimit(size.generations)
        account_ids: list[int] = []
        self.clients: list[LoadClient] = []
        for number in range(size.clients):
            # Two clients share one account, so that they compete for its balance; one pair soon has no credits left.
            pair = number // 2
            user, _ = User.objects.get_or_create(username=f"client{pair}")
            account = Account.objects.for_user(user)
            balance = SMALL_BALANCE if pair == 1 else LARGE_BALANCE
            ledger.grant(account, balance, key=f"chaos:{number}", actor="chaos")
            account_ids.append(account.pk)
            client = LoadClient(
                name=f"client{number}",
                api=ApiClient(api_port, api_keys.issue(user, "chaos").plain, counters),
                plan=plan,
                counters=counters,
                rng=random.Random(rng.random()),
                stop=stop_load,
                order_limit=order_limit,
            )
            self.clients.append(client)
        self.checks = ContinuousChecks(counters, stop_all, size.snapshot_seconds)
        self.replayer = CallbackReplayer(environment, self.clients, counters, random.Random(rng.random()), stop_all)
        self.fault_injector = FaultInjector(
            environment=environment,
            plan=plan,
            counters=counters,
            rng=random.Random(rng.random()),
            stop=stop_load,
            account_ids=account_ids,
            pause_seconds=size.fault_pause_seconds,
            fault_seconds=size.fault_seconds,
        )

    def has_unfinished_work(self) -> bool:
        """Return whether a generation is in progress. An unavailable database counts as unfinished."""
        try:
            return Generation.objects.in_progress().exists()
        except DatabaseError:
            connection.close()
            return True

    def run_final_checks(self) -> None:
        self.checks.check()
        final_checks.run(Evidence(self._environment, self.clients, self._counters))

    def final_states(self) -> dict[str, int]:
        """Return how many generations ended in each status, with the failure code."""
        rows = Generation.objects.values("status", "failure_code").annotate(count=Count("pk")).order_by()
        return {" ".join(filter(None, (row["status"], row["failure_code"]))): row["count"] for row in rows}
