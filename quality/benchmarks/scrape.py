"""How long Prometheus waits for /metrics with 100,000 generations behind it, on a database that is made for it.

`python -m quality.benchmarks.scrape` uses SQLite; with `DATABASE_URL=postgresql://…` it uses that empty database.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

GENERATIONS = int(os.environ.get("GENERATIONS", "100000"))
AT_ONCE = 2000
FACTS = ("ordered", "submitting", "submitted", "progressed", "answered", "completed")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "ERROR"}
        import django  # noqa: PLC0415  (it reads the environment, which is made here)

        django.setup()
        from django.core.management import call_command  # noqa: PLC0415
        from django.db import connection  # noqa: PLC0415

        call_command("migrate", verbosity=0)
        _fill()
        print(f"{connection.vendor}, {GENERATIONS} generations")
        _scrape()


def _fill() -> None:
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db.models import F  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from credits.models import Account  # noqa: PLC0415
    from generations.models import Event, Generation, ProviderCallback  # noqa: PLC0415

    account = Account.objects.for_user(User.objects.create_user("bench"))
    start = timezone.now() - timedelta(days=30)
    numbers = iter(range(GENERATIONS))
    while several := list(islice(numbers, AT_ONCE)):
        _write(account, [start + timedelta(days=30) * n / GENERATIONS for n in several])
    # They stamp themselves when they are made.
    Generation.objects.update(created_at=F("submitted_at"))
    Event.objects.update(created_at=start)
    ProviderCallback.objects.update(received_at=start)


def _write(account: Any, moments: list[datetime]) -> None:
    from generations.models import Event, Generation, Output, ProviderCallback, Submission  # noqa: PLC0415

    orders = [_generation(account, moment) for moment in moments]
    attempts = [Submission(generation=each, state="accepted", request_id=str(each.pk)) for each in orders]
    rows: list[list[Any]] = [
        orders,
        attempts,
        [
            ProviderCallback(submission=a, request_id=str(a.generation_id), body=b"x" * 1500, outcome="applied")
            for a in attempts[::2]
        ],
        [_output(each) for each in orders],
        list(_events(orders)),
    ]
    kinds: tuple[Any, ...] = (Generation, Submission, ProviderCallback, Output, Event)
    for kind, some in zip(kinds, rows, strict=True):
        kind.objects.bulk_create(some)


def _generation(account: Any, moment: datetime) -> Any:
    from database.ids import first_id  # noqa: PLC0415
    from generations.catalogue import MODELS  # noqa: PLC0415
    from generations.models import Generation  # noqa: PLC0415

    model = random.choice(list(MODELS.values()))
    return Generation(
        id=type(first_id(moment))(int=first_id(moment).int | random.getrandbits(80)),
        account=account,
        model=model.slug,
        endpoint=model.endpoint,
        kind=model.kind,
        input={"prompt": "a cat " * 100},
        arguments={"prompt": "a cat " * 100},
        status="completed",
        phase="done",
        credits=25,
        captured=25,
        version=6,
        submitted_at=moment + timedelta(seconds=1),
        answered_at=moment + timedelta(seconds=random.randint(2, 300)),
        finished_at=moment + timedelta(seconds=301),
        deadline_at=moment + timedelta(hours=1),
    )


def _output(generation: Any) -> Any:
    from generations.models import Output  # noqa: PLC0415

    stored = {"state": "stored", "key": str(generation.pk), "sha256": "x", "size": 1}
    return Output(generation=generation, index=0, role="images[0]", give_up_at=generation.deadline_at, **stored)


def _events(orders: list[Any]) -> Iterator[Any]:
    from generations.models import Event  # noqa: PLC0415

    for each in orders:
        for version, fact in enumerate(FACTS, 1):
            about = {"status": each.status, "phase": each.phase, "version": version}
            yield Event(generation=each, account=each.account, fact=fact, actor="limn", **about)


def _scrape() -> None:
    from prometheus_client import generate_latest  # noqa: PLC0415

    from operations import metrics, running_totals  # noqa: PLC0415

    collector = metrics.Collector()
    for name, times in (("a process that has just started", 1), ("from then on", 20)):
        seconds = [_once(running_totals.NotReady, collector, generate_latest) for _ in range(times)]
        print(f"{name}: {statistics.median(seconds):.3f} s, at most {max(seconds):.3f} s")


def _once(not_yet: type[Exception], collector: Any, generate_latest: Any) -> float:
    started = time.perf_counter()
    while True:
        begun = time.perf_counter()
        try:
            generate_latest(collector)
        except not_yet:
            print(f"  503 after {time.perf_counter() - begun:.2f} s", file=sys.stderr)
        else:
            return time.perf_counter() - started


if __name__ == "__main__":
    main()
