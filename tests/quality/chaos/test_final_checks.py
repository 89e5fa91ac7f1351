"""The final checks report what they are there for. A check that reports nothing proves nothing."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from django.conf import settings

from generations import lifecycle
from generations.lifecycle.failures import failure
from generations.models import FailureCode, Generation, Output, Submission
from quality.chaos.counters import Counters
from quality.chaos.environment import Environment
from quality.chaos.evidence import Evidence
from quality.chaos.fal_checks import check_failures, check_jobs, check_posts
from quality.chaos.foreign_checks import check_foreign_jobs
from quality.chaos.losses import Losses
from quality.chaos.strangers import Strangers
from simulator import Simulator
from tests.fixtures.orders import alice, close_fal_clients, order, submitted, work
from tests.helpers.lifecycle_facts import ANSWER
from tests.simulator.queue_client import FLUX, QueueClient

__all__ = ["alice", "close_fal_clients", "order", "submitted", "work"]


@pytest.fixture
def stranger(fal: Simulator) -> Iterator[QueueClient]:
    """Another program with the same key."""
    client = QueueClient(fal)
    yield client
    client.http.close()


@pytest.fixture
def evidence(fal: Simulator) -> Evidence:
    """That of a run of this process. Nothing has been lost, and no stranger has acted."""
    limn = SimpleNamespace(site_url=settings.SITE_URL)
    environment = cast(Environment, SimpleNamespace(limn=limn, simulator_log=fal.log))
    counters = Counters()
    return Evidence(
        environment=environment,
        clients=[],
        neighbour_clients=[],
        strangers=Strangers(environment, [], counters, random.Random(1), threading.Event()),
        losses=Losses(),
        counters=counters,
    )


def test_nothing_is_reported_of_an_order_without_faults(evidence: Evidence, submitted: Submission) -> None:
    for check in (check_posts, check_jobs, check_failures, check_foreign_jobs):
        check(evidence)

    assert evidence.counters.violations == []


def test_a_failure_that_is_blamed_on_fal_without_its_word_is_reported(
    evidence: Evidence, submitted: Submission
) -> None:
    lifecycle.failed(Generation.objects.get(), failure(FailureCode.PROVIDER_ERROR), actor="limn")

    check_failures(evidence)

    assert evidence.counters.violations == [
        f"I14: {submitted.generation_id} [hold callback:lost] failed as provider_error after 0 crashes, "
        "and fal reported no error"
    ]


@pytest.mark.parametrize("kills, violations", [(4, 1), (5, 0)])
def test_a_lost_file_needs_five_killed_workers(
    evidence: Evidence, submitted: Submission, kills: int, violations: int
) -> None:
    lifecycle.answered(submitted, ANSWER)
    Output.objects.update(crashes=5)
    lifecycle.output_lost(Output.objects.get(), detail="five workers died")
    evidence.counters.count_fault("kill -9 worker", kills)

    check_failures(evidence)

    assert len(evidence.counters.violations) == violations


def test_a_job_of_a_stranger_that_limn_has_taken_is_reported(
    evidence: Evidence, submitted: Submission, stranger: QueueClient
) -> None:
    request_id = stranger.enqueue("[hold]", endpoint=FLUX)
    Submission.objects.filter(pk=submitted.pk).update(request_id=request_id)

    check_foreign_jobs(evidence)

    assert evidence.counters.violations == [f"I12: the job {request_id} is not ours, and a submission names it"]


def test_a_second_post_of_one_submission_is_reported(
    evidence: Evidence, submitted: Submission, fal: Simulator, stranger: QueueClient
) -> None:
    (post,) = fal.log.posts()
    stranger.submit("again", webhook=post.query["fal_webhook"])

    check_posts(evidence)

    assert evidence.counters.violations == [f"I12: submission {submitted.pk} was posted 2 times"]


def test_only_submissions_that_a_restore_has_lost_may_be_missing(evidence: Evidence, submitted: Submission) -> None:
    evidence.submissions.clear()
    evidence.losses.submissions.add(str(submitted.pk))
    check_posts(evidence)
    assert evidence.counters.violations == []

    evidence.losses.submissions.clear()
    check_posts(evidence)

    assert evidence.counters.violations == [f"I12: submission {submitted.pk} was posted and is not on record"]
