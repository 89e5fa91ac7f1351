"""Work that crashes its worker is abandoned after five attempts. Case E4 of docs/failure-modes.md."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.fal import Completed
from generations.jobs import leases
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
# Python loads this first; from then on, whoever dials a certain port dies as of a broken library.
DIES_OF_A_PORT = """
import os, sys

def die(event, details):
    if event == "socket.connect" and details[1][1:2] == ({port},):
        os._exit(137)

sys.addaudithook(die)
"""


@pytest.fixture
def films(settings) -> Iterator[Server]:
    film = FILES["mp4"]
    with serving(respond("200 OK", f"Content-Length: {len(film)}", body=film)) as server:
        settings.FAL_MEDIA_HOSTS = [*settings.FAL_MEDIA_HOSTS, server.host]
        yield server


def lapse(rows: type[Leased]) -> None:
    """Time goes by: whoever had them is taken for dead."""
    past = timezone.now() - timedelta(seconds=1)
    rows._default_manager.filter(lease__isnull=False).update(leased_until=past)
    rows._default_manager.filter(next_attempt_at__isnull=False).update(next_attempt_at=past)


def stumble(*args: object, **options: object) -> None:
    raise RuntimeError("nobody foresaw this")


def run_into_it(run_once, rows: type[Leased], *, times: int) -> None:
    for _ in range(times):
        lapse(rows)
        run_once(limit=10)


# --- Counting ---


def claim() -> Leased:
    (row,) = leases.claim(Generation.objects.in_progress(), limit=1, seconds=-1)
    row.refresh_from_db()
    return row


def test_a_lease_that_ran_out_counts(order: PlaceOrder) -> None:
    order()

    assert [claim().crashes for _ in range(4)] == [0, 1, 2, 3]


def test_who_releases_it_properly_begins_anew(order: PlaceOrder) -> None:
    order()
    claim()

    leases.release(claim())

    assert claim().crashes == 0


def test_e2_who_hands_it_back_at_his_end_has_not_crashed(order: PlaceOrder) -> None:
    order()
    claim()

    leases.release_all()

    assert claim().crashes == 0


def test_only_so_many_in_a_row_are_poison(order: PlaceOrder) -> None:
    order()

    assert [leases.is_poison(claim()) for _ in range(7)] == [False] * 5 + [True] * 2


# --- A file ---


def test_e4_a_file_over_which_everybody_stumbles_is_given_up(
    films: Server, alice: Account, order_answered_with: OrderAnsweredWith, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = order_answered_with(f"{films.url}/film")
    monkeypatch.setattr("generations.files.storage.put", stumble)

    run_into_it(copier.run_once, Output, times=LAST + 1)

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.COPY_FAILED, 1000, 0)
    assert films.connections == LAST
    assert "5 workers in a row" in generation.outputs.get().detail
    assert "5 workers in a row" in generation.events.get(fact="failed").staff_note


def test_e4_the_other_files_are_copied(films: Server, order_answered_with: OrderAnsweredWith, work: Work) -> None:
    generation = order_answered_with(f"{films.url}/film", f"{films.url}/poison")
    generation.outputs.filter(index=1).update(crashes=LAST)

    work.until_done(generation)

    assert generation.status == Status.COMPLETED
    assert [output.state for output in generation.outputs.all()] == ["stored", "lost"]


def test_e4_a_file_that_kills_its_process_is_given_up(
    fal: Simulator, films: Server, limn: Processes, order_answered_with: OrderAnsweredWith, settings, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_OF_A_PORT.format(port=films.port))
    poisoned = {"PYTHONPATH": str(tmp_path), "FAL_MEDIA_HOSTS": ",".join(settings.FAL_MEDIA_HOSTS)}
    generation = order_answered_with(f"{films.url}/film")
    Output.objects.update(crashes=LAST - 1)

    assert limn("work", **poisoned).wait() == 137
    lapse(Output)
    limn("work", **poisoned)

    until(lambda: Generation.objects.get().is_done)
    assert "5 workers in a row" in generation.outputs.get().detail
    assert films.connections == 0


# --- An order that is not at fal yet ---


def test_e4_an_order_that_cannot_be_handed_in_fails_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = order()
    monkeypatch.setattr(lifecycle, "submitting", stumble)

    run_into_it(submitter.run_once, Generation, times=LAST + 1)

    generation.refresh_from_db()
    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.PROVIDER_ERROR, 1000, 0)
    assert fal.log.accepted() == []


# --- An order that fal may be working on ---


@pytest.fixture
def stuck(submitted: Submission, monkeypatch: pytest.MonkeyPatch) -> Generation:
    """fal works on it, and whoever asks about it stumbles."""
    monkeypatch.setattr(reconciler, "_poll", stumble)
    run_into_it(reconciler.run_once, Generation, times=LAST + 1)
    return Generation.objects.get()


def test_e4_what_fal_works_on_is_not_failed_behind_its_back(stuck: Generation, alice: Account) -> None:
    alice.refresh_from_db()

    assert (stuck.phase, alice.held) == (Phase.WAITING, stuck.credits)
    assert stuck.events.filter(fact="stuck").count() == 1


def test_e4_it_is_tried_again_once_in_a_while(stuck: Generation) -> None:
    assert stuck.crashes == LAST - 1
    assert stuck.next_attempt_at is not None

    run_into_it(reconciler.run_once, Generation, times=2)

    stuck.refresh_from_db()
    assert stuck.crashes == LAST - 1
    assert stuck.events.filter(fact="stuck").count() == 1


def test_e4_what_was_mended_goes_on(
    stuck: Generation, fal: Simulator, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    fal.finish(fal.log.accepted()[0].request_id)

    assert work.until_done(stuck).status == Status.COMPLETED


def test_e4_its_callback_still_completes_it(stuck: Generation, fal: Simulator, work: Work) -> None:
    request = fal.log.accepted()[0].request_id
    fal.finish(request)
    submission = stuck.submissions.get()
    until(lambda: fal.log.accepted()[0].state == "COMPLETED")
    verdict = clients.fal().result(submission.response_url)
    assert isinstance(verdict, Completed)
    lifecycle.answered(submission, verdict.answer)

    assert work.until_done(stuck).status == Status.COMPLETED


def test_e4_at_its_deadline_fal_is_asked_to_stop_and_then_it_ends(stuck: Generation, fal: Simulator) -> None:
    past = timezone.now() - timedelta(seconds=1)
    for deadline in (past, past - reconciler.VERDICT_GRACE):
        Generation.objects.update(deadline_at=deadline)
        run_into_it(reconciler.run_once, Generation, times=2)

    stuck.refresh_from_db()
    assert stuck.cancel_sent_at is not None
    assert (stuck.status, stuck.released) == (Status.FAILED, stuck.credits)


@pytest.mark.parametrize("state", [Submission.State.SENT, Submission.State.UNKNOWN, Submission.State.ACCEPTED])
def test_e4_nothing_that_may_be_paid_for_is_given_up(state: Submission.State, submitted: Submission) -> None:
    Submission.objects.update(state=state)

    assert lifecycle.give_up(submitted.generation, detail="it kills") is False
    assert Generation.objects.get().status == Status.PROCESSING


def test_a_lost_receipt_that_nobody_can_look_up_waits_for_its_deadline(
    fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    fal.script("drop_after_accept", "hold")
    generation = order()
    work.submit()
    monkeypatch.setattr(reconciler, "_resolve_unknown", stumble)
    run_into_it(reconciler.run_once, Generation, times=LAST + 1)
    generation.refresh_from_db()
    assert generation.phase == Phase.UNKNOWN

    Generation.objects.update(deadline_at=timezone.now())
    run_into_it(reconciler.run_once, Generation, times=2)

    generation.refresh_from_db()
    assert generation.failure_code == FailureCode.SUBMISSION_UNKNOWN
