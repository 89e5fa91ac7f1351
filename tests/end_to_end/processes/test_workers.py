"""`manage.py work` in separate processes that are killed, suspended and ended. Case ids: docs/failure-modes.md."""

from __future__ import annotations

import os
import signal
from time import monotonic

import pytest
from django.core.management import call_command

from credits.audit import audit
from credits.models import Account
from generations import lifecycle
from generations.files import storage, storage_mark
from generations.models import FailureCode, Generation, Output, Phase, Status
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.locks import another_session
from tests.services.processes import Processes
from tests.services.seaweed import Bucket
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db(transaction=True)


def wait_for_end(generation: Generation) -> Generation:
    """Waits until the generation is completed or failed. Returns it as it is then."""

    def is_done() -> bool:
        generation.refresh_from_db()
        return generation.is_done

    until(is_done, what="the end of the generation")
    return generation


def wait_for_copy(fal: Simulator) -> None:
    """Waits until a worker downloads from the CDN, because the fault of the CDN must hit this worker and not the next.

    A lease on the output would not prove that.
    """
    assert fal.wait_until(fal.log.served, timeout=HANG_SECONDS)


def test_one_worker_process_completes_a_generation(
    fal: Simulator, limn: Processes, alice: Account, order: PlaceOrder
) -> None:
    limn("work")

    generation = wait_for_end(order())

    assert generation.status == Status.COMPLETED
    assert audit().clean


def test_e1_the_next_worker_completes_a_copy_whose_worker_was_killed(
    fal: Simulator, limn: Processes, alice: Account, order: PlaceOrder
) -> None:
    fal.script("cdn:dripx1")
    generation = order()
    killed = limn("work")
    wait_for_copy(fal)

    killed.kill()
    limn("work")

    assert wait_for_end(generation).status == Status.COMPLETED
    alice.refresh_from_db()
    assert (alice.balance, alice.held) == (997, 0)


def test_a3_a_worker_killed_while_submitting_pays_fal_once(
    fal: Simulator, limn: Processes, alice: Account, order: PlaceOrder
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
def test_e2_sigterm_ends_a_worker_and_releases_its_leases(fal: Simulator, limn: Processes, order: PlaceOrder) -> None:
    fal.script("cdn:drip")
    order()
    worker = limn("work")
    wait_for_copy(fal)

    assert worker.end(by=signal.SIGTERM) == 0

    assert Output.objects.filter(lease__isnull=False).count() == 0


@pytest.mark.only_postgresql
def test_e2_sigterm_ends_a_worker_within_ten_seconds_although_a_row_is_locked(
    fal: Simulator, limn: Processes, order: PlaceOrder
) -> None:
    fal.script("cdn:drip", "cdn:drip")
    order(), order(prompt="another")
    worker = limn("work")
    leased = Output.objects.filter(lease__isnull=False)
    until(lambda: leased.count() == 2)

    with another_session() as session:
        locked = leased[0].pk
        session.execute("SELECT 1 FROM generations_output WHERE id = %s FOR UPDATE", [locked])
        asked_at = monotonic()
        assert worker.end(by=signal.SIGTERM) == 0
        assert monotonic() - asked_at < 10
    assert [output.pk for output in leased] == [locked]
    assert "leases could not be released" in worker.output


# On SQLite a process that is suspended inside a transaction blocks all others.
@pytest.mark.only_postgresql
def test_e3_a_worker_that_was_suspended_beyond_its_lease_changes_nothing(
    fal: Simulator, limn: Processes, alice: Account, order: PlaceOrder
) -> None:
    fal.script("cdn:dripx1")
    generation = order()
    suspended = limn("work")
    wait_for_copy(fal)
    os.kill(suspended.pid, signal.SIGSTOP)
    Output.objects.update(leased_until="2000-01-01T00:00:00Z")
    limn("work")
    wait_for_end(generation)

    os.kill(suspended.pid, signal.SIGCONT)
    suspended.end(by=signal.SIGTERM)

    alice.refresh_from_db()
    assert (alice.balance, alice.held, audit().clean) == (997, 0, True)
    stored = {listed.key for listed in storage.list_page() if str(generation.pk) in listed.key}
    assert stored == {generation.outputs.get().key}


@pytest.mark.once
def test_without_fal_key_the_error_names_it_and_make_run(limn: Processes) -> None:
    worker = limn("work", FAL_KEY="")

    assert worker.wait() == 1
    assert "FAL_KEY is not set" in worker.output
    assert "make run" in worker.output


@pytest.mark.once
def test_a_bucket_and_redis_are_used_by_settings_alone(
    fal: Simulator, limn: Processes, s3: Bucket, redis_url: str, order: PlaceOrder
) -> None:
    limn("work", REDIS_URL=redis_url, **s3.environment)

    generation = wait_for_end(order())

    output = generation.outputs.get()
    assert s3.keys() == [output.key, storage_mark.KEY]
    assert len(s3.read(output.key)) == output.size_bytes


def test_audit_ledger_reports_a_clean_ledger(fal: Simulator, order: PlaceOrder, capsys) -> None:
    lifecycle.failed(order(), lifecycle.failure(FailureCode.DEADLINE), actor="test")

    call_command("audit_ledger")

    assert "The ledger is clean." in capsys.readouterr().out
