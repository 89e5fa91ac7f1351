"""Real processes on real services: killed, stopped, and on any combination of database, bucket and queue."""

from __future__ import annotations

import os
import signal

import pytest
from django.core.management import call_command

from credits.audit import audit
from credits.models import Account
from generations import lifecycle
from generations.models import FailureCode, Generation, Output, Phase, Status
from simulator import Simulator
from tests.fixtures.orders import Ordering
from tests.services.processes import Processes
from tests.services.seaweed import Bucket
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db(transaction=True)


def ended(generation: Generation) -> bool:
    generation.refresh_from_db()
    return generation.is_done


def until_it_ended(generation: Generation) -> Generation:
    # Two starts of a worker and a lease that runs out: half a minute alone, more when both processors are taken.
    until(lambda: ended(generation), what="the end of the generation")
    return generation


def until_a_copy_is_under_way(fal: Simulator) -> None:
    """The lease alone would not do: the fault of the CDN must have met this worker, and not its successor."""
    assert fal.wait_until(fal.log.served, timeout=HANG_SECONDS)


def test_one_process_does_all_the_work(fal: Simulator, limn: Processes, alice: Account, order: Ordering) -> None:
    limn("work")

    generation = until_it_ended(order())

    assert generation.status == Status.COMPLETED
    assert audit().clean


def test_e1_a_worker_killed_while_copying_loses_nothing(
    fal: Simulator, limn: Processes, alice: Account, order: Ordering
) -> None:
    fal.script("cdn:dripx1")
    generation = order()
    first = limn("work")
    until_a_copy_is_under_way(fal)

    first.kill()
    limn("work")

    until_it_ended(generation)
    alice.refresh_from_db()
    assert (generation.status, alice.balance, alice.held) == (Status.COMPLETED, 997, 0)


def test_a3_a_worker_killed_while_submitting_pays_fal_once(
    fal: Simulator, limn: Processes, alice: Account, order: Ordering
) -> None:
    fal.script("hang_after_accept")
    generation = order()
    worker = limn("work")
    assert fal.wait_until(lambda: len(fal.log.accepted()) == 1, timeout=HANG_SECONDS)

    worker.kill()

    generation.refresh_from_db()
    assert generation.phase == Phase.SUBMITTING
    limn("work")
    until(lambda: Generation.objects.get().phase == Phase.UNKNOWN)
    assert len(fal.log.accepted()) == 1


@pytest.mark.once
def test_e2_sigterm_ends_it_within_ten_seconds_and_hands_back(fal: Simulator, limn: Processes, order: Ordering) -> None:
    fal.script("cdn:drip")
    order()
    worker = limn("work")
    until_a_copy_is_under_way(fal)

    assert worker.end(by=signal.SIGTERM) == 0

    assert Output.objects.filter(lease__isnull=False).count() == 0


# On SQLite a process that is stopped inside a transaction stops all others: that is what one file means.
@pytest.mark.only_postgresql
def test_e3_a_worker_stopped_beyond_its_lease_is_fenced(
    fal: Simulator, limn: Processes, alice: Account, order: Ordering
) -> None:
    fal.script("cdn:dripx1")
    generation = order()
    sleeper = limn("work")
    until_a_copy_is_under_way(fal)
    os.kill(sleeper.pid, signal.SIGSTOP)
    Output.objects.update(leased_until="2000-01-01T00:00:00Z")
    limn("work")
    until_it_ended(generation)

    os.kill(sleeper.pid, signal.SIGCONT)
    sleeper.end(by=signal.SIGTERM)

    alice.refresh_from_db()
    assert (alice.balance, alice.held, audit().clean) == (997, 0, True)


@pytest.mark.once
def test_without_fal_key_it_says_what_to_do(limn: Processes) -> None:
    worker = limn("work", FAL_KEY="")

    assert worker.wait() == 1
    assert "FAL_KEY is not set" in worker.output
    assert "make run" in worker.output


@pytest.mark.once
def test_bucket_and_redis_by_settings_alone(
    fal: Simulator, limn: Processes, s3: Bucket, redis_url: str, order: Ordering
) -> None:
    limn("work", REDIS_URL=redis_url, **s3.environment)

    generation = until_it_ended(order())

    (item,) = s3.client.list_objects_v2(Bucket=s3.name)["Contents"]
    assert (item["Key"], item["Size"]) == (generation.outputs.get().key, generation.outputs.get().size_bytes)


def test_the_audit_command_finds_the_books_right(fal: Simulator, order: Ordering, capsys) -> None:
    lifecycle.failed(order(), lifecycle.failure(FailureCode.DEADLINE), actor="test")

    call_command("audit_ledger")

    assert "The ledger is clean." in capsys.readouterr().out
