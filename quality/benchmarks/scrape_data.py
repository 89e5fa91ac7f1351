"""The database of the /metrics benchmark, and the measurement itself. Django must be set up before the import."""

from __future__ import annotations

import random
import statistics
import time
from contextlib import suppress
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import F
from django.utils import timezone
from prometheus_client import generate_latest

from credits.models import Account
from database.ids import first_id
from generations.catalogue import MODELS
from generations.models import Event, Generation, Output, ProviderCallback, Submission
from operations import metrics, running_totals

BATCH_SIZE = 2000
PERIOD = timedelta(days=30)
FACTS = ("ordered", "submitting", "submitted", "progressed", "answered", "completed")
SCRAPES = 20


def create_generations(count: int) -> None:
    """Create completed generations, spread evenly over the last 30 days, with all rows that belong to them."""
    account = Account.objects.for_user(User.objects.create_user("benchmark"))
    start = timezone.now() - PERIOD
    for first in range(0, count, BATCH_SIZE):
        numbers = range(first, min(first + BATCH_SIZE, count))
        _create_batch(account, [start + PERIOD * number / count for number in numbers])
    # These columns are set to the present when a row is created.
    Generation.objects.update(created_at=F("submitted_at"))
    Event.objects.update(created_at=start)
    ProviderCallback.objects.update(received_at=start)


def measure() -> None:
    """Print how long a scrape takes in a process that has just started, and from then on."""
    collector = metrics.Collector()
    for name, times in (("first scrape of a process", 1), ("later scrapes", SCRAPES)):
        seconds: list[float] = []
        started = time.perf_counter()
        while len(seconds) < times:
            # A process that is still adding up older rows answers 503 and is scraped again: that time counts too.
            with suppress(running_totals.NotReady):
                generate_latest(collector)
                seconds.append(time.perf_counter() - started)
                started = time.perf_counter()
        print(f"{name}: {statistics.median(seconds):.3f} s, at most {max(seconds):.3f} s")


def _create_batch(account: Account, moments: list[datetime]) -> None:
    generations = [_generation(account, moment) for moment in moments]
    submissions = [Submission(generation=each, state="accepted", request_id=str(each.pk)) for each in generations]
    Generation.objects.bulk_create(generations)
    Submission.objects.bulk_create(submissions)
    # fal's callback arrived for every second one; the others were polled.
    ProviderCallback.objects.bulk_create(
        ProviderCallback(submission=each, request_id=str(each.generation_id), body=b"x" * 1500, outcome="applied")
        for each in submissions[::2]
    )
    Output.objects.bulk_create(
        Output(
            generation=each,
            index=0,
            role="images[0]",
            state="stored",
            key=str(each.pk),
            sha256="x",
            size_bytes=1,
            give_up_at=each.deadline_at,
        )
        for each in generations
    )
    Event.objects.bulk_create(
        Event(
            generation=each,
            account=account,
            fact=fact,
            actor="limn",
            status=each.status,
            phase=each.phase,
            version=version,
        )
        for each in generations
        for version, fact in enumerate(FACTS, 1)
    )


def _generation(account: Account, moment: datetime) -> Generation:
    model = random.choice(list(MODELS.values()))
    # Ids are UUIDs of version 7: the time, and 80 random bits.
    smallest_id = first_id(moment)
    return Generation(
        id=type(smallest_id)(int=smallest_id.int | random.getrandbits(80)),
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
        version=len(FACTS),
        submitted_at=moment + timedelta(seconds=1),
        answered_at=moment + timedelta(seconds=random.randint(2, 300)),
        finished_at=moment + timedelta(seconds=301),
        deadline_at=moment + timedelta(hours=1),
    )
