"""Rows that five workers in a row did not survive are given up; other trouble never counts. Case E4."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from botocore.exceptions import EndpointConnectionError
from django.db import IntegrityError, InterfaceError, InternalError, OperationalError
from django.db.models.functions import Now
from django.utils import timezone
from psycopg import errors
from psycopg_pool import PoolTimeout

from credits.models import Account
from generations import lifecycle
from generations.fal import Completed, FalClient
from generations.jobs import leases, parallel
from generations.jobs.leased_model import Leased
from generations.models import FailureCode, Generation, Output, Phase, Rule, Status, Submission
from generations.provider import clients
from generations.workers import copier, reconciler, submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.fixtures.storage import OrderAnsweredWith
from tests.generations.files.example_files import FILES
from tests.helpers.background_work import Work
from tests.helpers.outages import let_outage_pass, let_patience_end
from tests.helpers.scripted_servers import Server, respond, serving
from tests.services.processes import Processes
from tests.services.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

LAST = leases.CRASHES_MAX
# A sitecustomize module: the process dies when it connects to this port, as if a library had crashed it.
DIES_AT_PORT = """
import os, sys

def die(event, details):
    if event == "socket.connect" and details[1][1:2] == ({port},):
        os._exit(137)

sys.addaudithook(die)
"""


@pytest.fixture
def film_server(settings) -> Iterator[Server]:
    film = FILES["mp4"]
    with serving(respond("200 OK", f"Content-Length: {len(film)}", body=film)) as server:
        settings.FAL_MEDIA_HOSTS = [*settings.FAL_MEDIA_HOSTS, server.host]
        yield server


def expire_leases(rows: type[Leased]) -> None:
    """Makes every row due and every lease run out, as if its worker had died."""
    past = timezone.now() - timedelta(seconds=1)
    rows._default_manager.filter(lease__isnull=False).update(leased_until=past)
    rows._default_manager.filter(next_attempt_at__isnull=False).update(next_attempt_at=past)


def crash(*args: object, **options: object) -> None:
    raise RuntimeError("an error in Limn")


def run(worker: Callable[..., int], rows: type[Leased], *, times: int) -> None:
    """Runs the worker, each time after the leases of the time before have run out."""
    for _ in range(times):
        expire_leases(rows)
        worker(limit=10)


def let_workers_die(rows: type[Leased], *, times: int = LAST) -> None:
    """Makes every row that is due look as if this many workers in a row had died while they held it."""
    due = rows._default_manager.filter(next_attempt_at__isnull=False)
    due.update(lease=uuid4(), crashes=times - 1)
    expire_leases(rows)


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


# --- Counting crashes ---


def claim() -> Leased:
    (row,) = leases.claim(Generation.objects.in_progress(), limit=1, seconds=-1)
    row.refresh_from_db()
    return row


def test_a_lease_that_runs_out_is_a_crash(order: PlaceOrder) -> None:
    order()

    assert [claim().crashes for _ in range(4)] == [0, 1, 2, 3]


def test_a_release_resets_the_count(order: PlaceOrder) -> None:
    order()
    claim()

    leases.release(claim())

    assert claim().crashes == 0


def test_e2_a_release_at_the_end_of_the_process_is_no_crash(order: PlaceOrder) -> None:
    order()
    claim()

    leases.release_all()

    assert claim().crashes == 0


def test_a_worker_that_lives_and_lost_its_lease_takes_the_crash_back(order: PlaceOrder) -> None:
    """As after an outage of the database, during which no lease could be renewed."""
    order()
    (lost,) = leases.claim(Generation.objects.in_progress(), limit=1, seconds=-1)
    held = claim()
    assert held.crashes == 1

    leases.renew_until_forgotten([lost], seconds=0.03)

    until(lambda: Generation.objects.get().crashes == 0)
    assert Generation.objects.get().lease == held.lease


TROUBLE = [
    caused_by(OperationalError("the row is locked"), errors.LockNotAvailable()),
    caused_by(OperationalError("a deadlock"), errors.DeadlockDetected()),
    caused_by(OperationalError("it takes too long"), errors.QueryCanceled()),
    caused_by(OperationalError("too many connections"), errors.TooManyConnections()),
    caused_by(OperationalError("the disk is full"), errors.DiskFull()),
    caused_by(InternalError("read-only"), errors.ReadOnlySqlTransaction()),
    InterfaceError("the connection is closed"),
    PoolTimeout("no connection"),
    IntegrityError("a constraint"),
    EndpointConnectionError(endpoint_url="http://storage"),
    OSError(28, "No space left on device"),
    RuntimeError("an error in Limn"),
]


@pytest.mark.parametrize("error", TROUBLE, ids=repr)
def test_e4_trouble_in_a_living_worker_is_no_crash_and_the_row_waits(error: Exception, order: PlaceOrder) -> None:
    order()
    claim()

    def fail(row: Generation) -> None:
        raise error

    handled = leases.claim(Generation.objects.in_progress(), limit=1, seconds=30)
    parallel.run(handled, fail, give_up=fail, lease_seconds=30)

    until(lambda: Generation.objects.get().lease is None)
    assert Generation.objects.filter(next_attempt_at__gt=Now()).count() == 1
    assert claim().crashes == 1


def test_e4_the_pause_grows_while_the_trouble_lasts(order: PlaceOrder) -> None:
    order()

    def fail(row: Generation) -> None:
        raise OperationalError("the row is locked")

    def wait_of_next_failure() -> float:
        handled = leases.claim(Generation.objects.in_progress(), limit=1, seconds=30)
        parallel.run(handled, fail, give_up=fail, lease_seconds=30)
        until(lambda: Generation.objects.get().lease is None)
        due_at = Generation.objects.get().next_attempt_at
        assert due_at is not None
        return (due_at - timezone.now()).total_seconds()

    waits = [wait_of_next_failure() for _ in range(4)]

    assert waits[0] < 4 < waits[3]


def test_e4_a_row_that_is_handled_slowly_is_not_counted(order: PlaceOrder) -> None:
    """The worker lives, so its lease is renewed."""
    order()
    (row,) = leases.claim(Generation.objects.in_progress(), limit=1, seconds=0.5)
    first_lease_ended = threading.Event()

    def handle_slowly(row: Generation) -> None:
        claimed_until = row.leased_until
        until(lambda: Generation.objects.filter(leased_until__gt=claimed_until, leased_until__lt=Now()) or renewed())
        first_lease_ended.set()

    def renewed() -> bool:
        return Generation.objects.filter(leased_until__gt=row.leased_until).exists()

    parallel.run([row], handle_slowly, give_up=crash, lease_seconds=0.5)

    assert first_lease_ended.is_set()


def test_a_row_is_poison_after_five_crashes_in_a_row(order: PlaceOrder) -> None:
    order()

    assert [leases.has_crashed_too_often(claim()) for _ in range(7)] == [False] * 5 + [True] * 2


# --- Outputs ---


def test_e4_an_output_that_killed_five_copiers_is_tried_again_rarely_and_not_lost(
    film_server: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    generation = order_answered_with(f"{film_server.url}/film")
    let_workers_die(Output)

    copier.run_once(limit=10)

    output = Output.objects.get()
    assert output.next_attempt_at is not None
    assert (output.state, output.next_attempt_at > timezone.now() + timedelta(seconds=100)) == ("pending", True)
    assert generation.events.filter(fact="stuck").count() == 1
    assert work.until_done(generation).status == Status.COMPLETED


def test_e4_an_output_that_kills_copiers_until_fal_has_deleted_it_costs_nothing(
    film_server: Server, alice: Account, order_answered_with: OrderAnsweredWith
) -> None:
    generation = order_answered_with(f"{film_server.url}/film")
    Output.objects.update(give_up_at=timezone.now())
    let_workers_die(Output)

    copier.run_once(limit=10)

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.INTERNAL_ERROR, 1000, 0)
    assert "5 workers in a row" in generation.outputs.get().detail
    assert "5 workers in a row" in generation.events.get(fact="failed").staff_note


def test_e4_the_other_outputs_are_copied_meanwhile(film_server: Server, order_answered_with: OrderAnsweredWith) -> None:
    generation = order_answered_with(f"{film_server.url}/film", f"{film_server.url}/poison")
    let_workers_die(Output)
    Output.objects.filter(index=0).update(lease=None, leased_until=None, crashes=0)

    copier.run_once(limit=10)

    assert [output.state for output in generation.outputs.all()] == ["stored", "pending"]


def test_e4_an_output_that_kills_worker_processes_is_parked(
    film_server: Server, limn: Processes, order_answered_with: OrderAnsweredWith, settings, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_AT_PORT.format(port=film_server.port))
    environment = {"PYTHONPATH": str(tmp_path), "FAL_MEDIA_HOSTS": ",".join(settings.FAL_MEDIA_HOSTS)}
    generation = order_answered_with(f"{film_server.url}/film")
    Output.objects.update(crashes=LAST - 1)

    assert limn("work", **environment).wait() == 137
    expire_leases(Output)
    limn("work", **environment)

    until(lambda: generation.events.filter(fact="stuck").exists())
    assert (Output.objects.get().state, film_server.connections) == (Output.State.PENDING, 0)


# --- Generations that fal does not have ---


def test_e4_a_generation_that_killed_five_submitters_fails_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder
) -> None:
    generation = order()
    let_workers_die(Generation)

    submitter.run_once(limit=10)

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.INTERNAL_ERROR, 1000, 0)
    assert (generation.rule, fal.log.accepted()) == (Rule.OUR_ERROR, [])


@pytest.mark.parametrize("error", TROUBLE, ids=repr)
def test_e4_a_generation_is_submitted_once_the_trouble_is_over(
    error: Exception, fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise error

    generation = order()
    with monkeypatch.context() as trouble:
        trouble.setattr(lifecycle, "submitting", fail)
        trouble.setattr(leases, "RETURN_SECONDS", 0.0)
        for _ in range(LAST + 2):
            expire_leases(Generation)
            submitter.run_once(limit=10)
            until(lambda: Generation.objects.get().lease is None)

    assert work.until_done(generation).status == Status.COMPLETED
    assert len(fal.log.posts()) == 1


def test_an_error_of_limn_that_lasts_long_after_the_deadline_ends_a_queued_generation(
    order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "submitting", crash)
    generation = order()
    let_outage_pass(timedelta(hours=30))
    work.submit()
    let_patience_end(submitter.REFUSED_SECONDS_MAX)

    work.submit()

    generation.refresh_from_db()
    assert generation.failure_code == FailureCode.INTERNAL_ERROR


# --- Generations that fal may be working on ---


@pytest.fixture
def stuck(submitted: Submission) -> Generation:
    """A generation at fal that has killed five reconcilers."""
    let_workers_die(Generation)
    reconciler.run_once(limit=10)
    return Generation.objects.get()


def test_e4_a_stuck_generation_is_not_failed_while_fal_works_on_it(stuck: Generation, alice: Account) -> None:
    alice.refresh_from_db()

    assert (stuck.phase, alice.held) == (Phase.WAITING, stuck.credits)
    assert stuck.events.filter(fact="stuck").count() == 1


def test_e4_a_stuck_generation_is_tried_again_rarely(stuck: Generation) -> None:
    assert stuck.crashes == LAST - 1
    assert stuck.next_attempt_at is not None
    assert stuck.next_attempt_at > timezone.now() + timedelta(seconds=100)

    let_workers_die(Generation)
    reconciler.run_once(limit=10)

    stuck.refresh_from_db()
    assert stuck.crashes == LAST - 1
    assert stuck.events.filter(fact="stuck").count() == 1


def test_e4_a_stuck_generation_continues_once_the_cause_is_resolved(
    stuck: Generation, fal: Simulator, work: Work
) -> None:
    fal.finish(fal.log.accepted()[0].request_id)

    assert work.until_done(stuck).status == Status.COMPLETED


def test_e4_the_callback_of_a_stuck_generation_completes_it(stuck: Generation, fal: Simulator, work: Work) -> None:
    fal.finish(fal.log.accepted()[0].request_id)
    submission = stuck.submissions.get()
    until(lambda: fal.log.accepted()[0].state == "COMPLETED")
    verdict = clients.fal().result(submission.response_url)
    assert isinstance(verdict, Completed)
    lifecycle.answered(submission, verdict.answer)

    assert work.until_done(stuck).status == Status.COMPLETED


def test_e4_a_stuck_generation_is_cancelled_at_its_deadline_and_fails_later(stuck: Generation) -> None:
    past = timezone.now() - timedelta(seconds=1)
    for deadline in (past, past - reconciler.VERDICT_PATIENCE):
        Generation.objects.update(deadline_at=deadline)
        let_workers_die(Generation)
        reconciler.run_once(limit=10)

    stuck.refresh_from_db()
    assert stuck.cancel_sent_at is not None
    assert (stuck.failure_code, stuck.released) == (FailureCode.INTERNAL_ERROR, stuck.credits)


@pytest.mark.parametrize("state", [Submission.State.SENT, Submission.State.UNKNOWN, Submission.State.ACCEPTED])
def test_e4_a_generation_whose_job_may_have_to_be_paid_is_not_given_up(
    state: Submission.State, submitted: Submission
) -> None:
    Submission.objects.update(state=state)

    assert lifecycle.give_up(submitted.generation, detail="it crashes workers") is False
    assert Generation.objects.get().status == Status.PROCESSING


def test_an_error_of_limn_that_lasts_long_after_the_deadline_ends_an_unknown_generation(
    fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    fal.script("drop_after_accept", "hold")
    generation = order()
    work.submit()
    monkeypatch.setattr(FalClient, "recorded_requests", crash)
    let_outage_pass(timedelta(hours=30), fal)
    work.reconcile()
    assert Generation.objects.get().phase == Phase.UNKNOWN
    let_patience_end(reconciler.VERDICT_PATIENCE)

    work.reconcile()

    generation.refresh_from_db()
    assert generation.failure_code == FailureCode.INTERNAL_ERROR
