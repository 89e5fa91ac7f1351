"""Rows that five workers in a row did not survive are given up; other trouble never counts. Case E4."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.fal import Completed, FalClient, Forbidden
from generations.jobs import leases
from generations.models import Event, FailureCode, Generation, Output, Phase, Rule, Status, Submission
from generations.provider import clients
from generations.workers import copier, reconciler, submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.fixtures.storage import OrderAnsweredWith
from tests.generations.files.example_files import FILES
from tests.helpers.background_work import Work
from tests.helpers.clocks import just_passed
from tests.helpers.crashes import LAST, TROUBLE, crash, expire_leases, let_workers_die
from tests.helpers.outages import let_outage_pass, let_patience_end
from tests.helpers.scripted_servers import Server, respond, serving
from tests.services.processes import Processes
from tests.services.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

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
    Output.objects.update(give_up_at=just_passed())
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
    long_ago = timezone.now() - reconciler.RESULT_KEPT
    Generation.objects.update(deadline_at=long_ago)
    let_workers_die(Generation)
    reconciler.run_once(limit=10)
    stuck.refresh_from_db()
    assert (stuck.status, stuck.cancel_sent_at is None) == (Status.PROCESSING, False)
    Event.objects.filter(fact="stuck").update(created_at=long_ago)
    let_workers_die(Generation)

    reconciler.run_once(limit=10)

    stuck.refresh_from_db()
    assert (stuck.failure_code, stuck.released) == (FailureCode.INTERNAL_ERROR, stuck.credits)


@pytest.mark.parametrize("state", [Submission.State.SENT, Submission.State.UNKNOWN, Submission.State.ACCEPTED])
def test_e4_a_generation_whose_job_may_have_to_be_paid_is_not_given_up(
    state: Submission.State, submitted: Submission
) -> None:
    Submission.objects.update(state=state)

    assert lifecycle.give_up(submitted.generation, detail="it crashes workers") is False
    assert Generation.objects.get().status == Status.PROCESSING


@pytest.mark.parametrize("error", [RuntimeError("an error in Limn"), Forbidden("401")], ids=str)
def test_e4_while_limn_cannot_read_a_result_it_is_kept_and_staff_are_told(
    error: Exception, fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if that takes longer than the patience with fal: fal still has the file."""

    def ask(*_: object) -> NoReturn:
        raise error

    fal.script("callback:lost")
    generation = order()
    work.submit()
    let_outage_pass(timedelta(hours=30))
    with monkeypatch.context() as trouble:
        trouble.setattr(FalClient, "status", ask)
        work.reconcile()
        let_patience_end(2 * reconciler.VERDICT_PATIENCE)
        work.reconcile()
    assert generation.events.filter(fact="stuck").count() == 1

    assert work.until_done(generation).status == Status.COMPLETED


def test_an_error_of_limn_that_lasts_long_after_the_deadline_ends_an_unknown_generation(
    fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    fal.script("drop_after_accept", "hold")
    generation = order()
    work.submit()
    monkeypatch.setattr(FalClient, "recorded_requests", crash)
    let_outage_pass(reconciler.RESULT_KEPT + timedelta(hours=2), fal)
    work.reconcile()
    assert Generation.objects.get().phase == Phase.UNKNOWN
    let_patience_end(reconciler.VERDICT_PATIENCE)

    work.reconcile()

    generation.refresh_from_db()
    assert generation.failure_code == FailureCode.INTERNAL_ERROR
