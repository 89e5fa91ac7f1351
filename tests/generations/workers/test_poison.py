"""Rows that crash five workers in a row are given up. Case E4 of docs/failure-modes.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from psycopg import errors

from credits.models import Account
from generations import lifecycle
from generations.fal import Completed, FalClient
from generations.jobs import leases, parallel
from generations.jobs.leased_model import Leased
from generations.models import FailureCode, Generation, Output, Phase, Status, Submission
from generations.provider import clients
from generations.workers import copier, reconciler, submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.fixtures.storage import OrderAnsweredWith
from tests.generations.files.example_files import FILES
from tests.helpers.background_work import Work
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


@pytest.mark.parametrize("error", [OperationalError("the connection is lost"), InterfaceError("it is closed")])
def test_an_error_of_the_database_is_no_crash_and_the_row_is_returned(error: Exception, order: PlaceOrder) -> None:
    order()
    claim()

    def fail(row: Generation) -> None:
        raise error

    parallel.run(
        leases.claim(Generation.objects.in_progress(), limit=1, seconds=30), fail, give_up=fail, lease_seconds=30
    )

    until(lambda: Generation.objects.get().lease is None)
    assert claim().crashes == 1


@pytest.mark.parametrize("cause", [errors.QueryCanceled(), errors.ProgramLimitExceeded()])
def test_a_statement_that_fails_because_of_the_row_is_a_crash(cause: Exception, order: PlaceOrder) -> None:
    order()

    def fail(row: Generation) -> None:
        raise OperationalError("the statement took too long") from cause

    parallel.run(
        leases.claim(Generation.objects.in_progress(), limit=1, seconds=-1), fail, give_up=fail, lease_seconds=30
    )

    assert claim().crashes == 1


def test_a_row_is_poison_after_five_crashes_in_a_row(order: PlaceOrder) -> None:
    order()

    assert [leases.has_crashed_too_often(claim()) for _ in range(7)] == [False] * 5 + [True] * 2


# --- Outputs ---


def test_e4_an_output_that_crashes_every_copier_is_given_up_and_costs_nothing(
    film_server: Server, alice: Account, order_answered_with: OrderAnsweredWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = order_answered_with(f"{film_server.url}/film")
    monkeypatch.setattr("generations.files.storage.put", crash)

    run(copier.run_once, Output, times=LAST + 1)

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.COPY_FAILED, 1000, 0)
    assert film_server.connections == LAST
    assert "5 workers in a row" in generation.outputs.get().detail
    assert "5 workers in a row" in generation.events.get(fact="failed").staff_note


def test_e4_the_other_outputs_are_copied(
    film_server: Server, order_answered_with: OrderAnsweredWith, work: Work
) -> None:
    generation = order_answered_with(f"{film_server.url}/film", f"{film_server.url}/poison")
    generation.outputs.filter(index=1).update(crashes=LAST)

    work.until_done(generation)

    assert generation.status == Status.COMPLETED
    assert [output.state for output in generation.outputs.all()] == ["stored", "lost"]


def test_e4_an_output_that_kills_worker_processes_is_given_up(
    film_server: Server, limn: Processes, order_answered_with: OrderAnsweredWith, settings, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_AT_PORT.format(port=film_server.port))
    environment = {"PYTHONPATH": str(tmp_path), "FAL_MEDIA_HOSTS": ",".join(settings.FAL_MEDIA_HOSTS)}
    generation = order_answered_with(f"{film_server.url}/film")
    Output.objects.update(crashes=LAST - 1)

    assert limn("work", **environment).wait() == 137
    expire_leases(Output)
    limn("work", **environment)

    until(lambda: Generation.objects.get().is_done)
    assert "5 workers in a row" in generation.outputs.get().detail
    assert film_server.connections == 0


# --- Generations that fal does not have ---


def test_e4_a_generation_that_crashes_every_submitter_fails_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = order()
    monkeypatch.setattr(lifecycle, "submitting", crash)

    run(submitter.run_once, Generation, times=LAST + 1)

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.PROVIDER_ERROR, 1000, 0)
    assert fal.log.accepted() == []


# --- Generations that fal may be working on ---


@pytest.fixture
def stuck(submitted: Submission, monkeypatch: pytest.MonkeyPatch) -> Generation:
    """A generation at fal whose progress crashes every reconciler."""
    monkeypatch.setattr(lifecycle, "progressed", crash)
    run(reconciler.run_once, Generation, times=LAST + 1)
    return Generation.objects.get()


def test_e4_a_stuck_generation_is_not_failed_while_fal_works_on_it(stuck: Generation, alice: Account) -> None:
    alice.refresh_from_db()

    assert (stuck.phase, alice.held) == (Phase.WAITING, stuck.credits)
    assert stuck.events.filter(fact="stuck").count() == 1


def test_e4_a_stuck_generation_is_tried_again_rarely(stuck: Generation) -> None:
    assert stuck.crashes == LAST - 1
    assert stuck.next_attempt_at is not None

    run(reconciler.run_once, Generation, times=2)

    stuck.refresh_from_db()
    assert stuck.crashes == LAST - 1
    assert stuck.events.filter(fact="stuck").count() == 1


def test_e4_a_stuck_generation_continues_once_the_cause_is_resolved(
    stuck: Generation, fal: Simulator, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
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
    for deadline in (past, past - reconciler.VERDICT_GRACE):
        Generation.objects.update(deadline_at=deadline)
        run(reconciler.run_once, Generation, times=2)

    stuck.refresh_from_db()
    assert stuck.cancel_sent_at is not None
    assert (stuck.status, stuck.released) == (Status.FAILED, stuck.credits)


@pytest.mark.parametrize("state", [Submission.State.SENT, Submission.State.UNKNOWN, Submission.State.ACCEPTED])
def test_e4_a_generation_whose_job_may_have_to_be_paid_is_not_given_up(
    state: Submission.State, submitted: Submission
) -> None:
    Submission.objects.update(state=state)

    assert lifecycle.give_up(submitted.generation, detail="it crashes workers") is False
    assert Generation.objects.get().status == Status.PROCESSING


def test_an_unknown_submission_that_crashes_every_reconciler_fails_at_its_deadline(
    fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    fal.script("drop_after_accept", "hold")
    generation = order()
    work.submit()
    monkeypatch.setattr(FalClient, "find_requests", crash)
    run(reconciler.run_once, Generation, times=LAST + 1)
    generation.refresh_from_db()
    assert generation.phase == Phase.UNKNOWN

    Generation.objects.update(deadline_at=timezone.now(), crashes=LAST)
    run(reconciler.run_once, Generation, times=1)

    generation.refresh_from_db()
    assert generation.failure_code == FailureCode.SUBMISSION_UNKNOWN
