"""Who takes part in a run, made once the tables are there."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.db.models import Count

from credits import accounts, ledger
from generations import api_keys
from generations.models import Generation
from quality.chaos import final_checks
from quality.chaos.continuous_checks import Watcher
from quality.chaos.counters import Tally
from quality.chaos.environment import Town
from quality.chaos.fault_injector import Nemesis
from quality.chaos.fault_plan import Swarm
from quality.chaos.load_clients import Api, Customer, Quota
from quality.chaos.replayer import Postman

if TYPE_CHECKING:
    from quality.chaos.run import Size

RICH, POOR = 1_000_000, 200


class Cast:
    """Customers, the nemesis, the watcher and the postman."""

    def __init__(
        self,
        town: Town,
        swarm: Swarm,
        size: Size,
        tally: Tally,
        *,
        stop_load: threading.Event,
        stop_post: threading.Event,
    ) -> None:
        self._town, self._swarm, self._tally = town, swarm, tally
        self._chance = random.Random(swarm.seed)
        self._accounts: list[int] = []
        quota = Quota(size.generations)
        self.customers = [self._customer(number, quota, stop_load) for number in range(size.customers)]
        self.watcher = Watcher(tally, stop_post, size.sample_seconds)
        self.postman = Postman(town, self.customers, tally, self._own_chance(), stop_post)
        self.nemesis = Nemesis(
            town=town,
            swarm=swarm,
            tally=tally,
            chance=self._own_chance(),
            stop=stop_load,
            accounts=self._accounts,
            pause_seconds=size.nemesis_pause_seconds,
            fault_seconds=size.fault_seconds,
        )

    def unfinished(self) -> bool:
        try:
            return Generation.objects.in_progress().exists()
        except DatabaseError:
            connection.close()
            return True

    def judge(self) -> None:
        self.watcher.look()
        final_checks.compare_with_customers(self.customers, self._tally)
        final_checks.Verdict(self._town, self._tally).pronounce()
        final_checks.count_injected(self._town.log, self._tally)
        final_checks.count_failpoints(self._town, self._tally)

    def phases(self) -> dict[str, int]:
        rows = Generation.objects.values("phase", "status", "failure_code").annotate(count=Count("pk")).order_by()
        return {" ".join(filter(None, (row["status"], row["failure_code"]))): row["count"] for row in rows}

    def _customer(self, number: int, quota: Quota, stop: threading.Event) -> Customer:
        # Two threads share one account, so that they compete for its balance.
        user, _ = User.objects.get_or_create(username=f"customer{number // 2}")
        account = accounts.of(user)
        is_poor = number // 2 == 1
        ledger.grant(account, POOR if is_poor else RICH, key=f"soak:{number}", actor="soak")
        self._accounts.append(account.pk)
        token = api_keys.issue(user, "soak").plain
        port = int(self._town.site_url.rpartition(":")[2])
        return Customer(
            name=f"customer{number}",
            api=Api(port, token, self._tally),
            swarm=self._swarm,
            tally=self._tally,
            chance=self._own_chance(),
            stop=stop,
            quota=quota,
        )

    def _own_chance(self) -> random.Random:
        return random.Random(self._chance.random())
