"""The eraser: files are deleted in storage and at fal, and old generations and uploads by retention rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from credits.audit import audit
from credits.models import Account
from generations import lifecycle
from generations.files import storage
from generations.models import (
    Erasure,
    FailureCode,
    Generation,
    Heartbeat,
    ProviderCallback,
    Retention,
    Submission,
    Upload,
)
from generations.provider import clients
from generations.workers import eraser
from operations import invariants
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.clocks import just_passed
from tests.helpers.images import insert_upload
from tests.services.seaweed import Bucket
from tests.simulator.queue_client import get

pytestmark = pytest.mark.django_db(transaction=True)

PROMPT = "a cat in a secret place"


@pytest.fixture
def completed(fal: Simulator, order: PlaceOrder, work: Work) -> Generation:
    """A generation with two files."""
    return work.until_done(order(prompt=PROMPT, num_images=2))


def erase(generation: Generation) -> Erasure:
    """Erases the generation and runs the eraser. Returns the receipt."""
    lifecycle.erase(generation, actor="user:alice")
    eraser.run_once(limit=10)
    return Erasure.objects.get()


def stored_keys(generation: Generation) -> set[str]:
    return {listed.key for listed in storage.list_page() if str(generation.pk) in listed.key}


def all_rows(generation: Generation) -> str:
    """Everything that the database holds about the generation, as one text."""
    return str(
        [
            *Generation.objects.filter(pk=generation.pk).values(),
            *generation.submissions.values(),
            *generation.outputs.values(),
            *generation.events.values(),
            *({**row, "body": bytes(row["body"])} for row in ProviderCallback.objects.values()),
        ]
    )


# --- What is deleted ---


def test_the_prompt_and_the_files_are_deleted(completed: Generation) -> None:
    assert PROMPT in all_rows(completed)
    assert len(stored_keys(completed)) == 2

    receipt = erase(completed)

    assert PROMPT not in all_rows(completed)
    assert stored_keys(completed) == set()
    assert receipt.done_at is not None


def test_the_files_are_deleted_from_a_bucket(bucket: Bucket, completed: Generation) -> None:
    assert len(bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]) == 2

    erase(completed)

    assert "Contents" not in bucket.client.list_objects_v2(Bucket=bucket.name)


def test_the_price_and_the_ledger_are_kept(completed: Generation, alice: Account) -> None:
    erase(completed)

    completed.refresh_from_db()
    alice.refresh_from_db()
    assert (completed.status, completed.captured, alice.balance) == ("completed", 6, 994)
    assert (audit().clean, invariants.always(), invariants.at_rest()) == (True, [], [])


def test_the_receipt_names_the_deleted_files(completed: Generation) -> None:
    files = [
        {"output": str(output.pk), "role": output.role, "size": output.size_bytes, "sha256": output.sha256}
        for output in completed.outputs.all()
    ]

    assert sorted(erase(completed).files, key=str) == sorted(files, key=str)


def test_a_generation_is_erased_once(completed: Generation) -> None:
    first = lifecycle.erase(completed, actor="user:alice")

    assert lifecycle.erase(completed, actor="user:alice").pk == first.pk
    assert completed.events.filter(fact="erased").count() == 1


def test_a_callback_after_the_erasure_is_stored_without_its_body(
    callbacks: CallbackSender, submitted: Submission, fal: Simulator, work: Work
) -> None:
    callbacks.send(submitted)
    erase(work.until_done(submitted.generation))

    late = fal.callback_body(str(submitted.request_id)) + b" "
    callbacks.send(submitted, late)

    assert [bytes(callback.body) for callback in ProviderCallback.objects.all()] == [b"", b""]


def test_an_erasure_is_repeated_until_the_storage_is_reachable(settings, completed: Generation, work: Work) -> None:
    unreachable = Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    stored = settings.STORAGES
    settings.STORAGES = {**stored, "default": unreachable.storage}
    assert erase(completed).done_at is None

    settings.STORAGES = stored
    work.erase()

    assert Erasure.objects.get().done_at is not None
    assert stored_keys(completed) == set()


# --- fal's copies ---


def test_fals_payloads_and_files_are_deleted(completed: Generation, fal: Simulator) -> None:
    (request,), files = fal.log.accepted(), fal.log.files()
    assert (request.inputs["prompt"], len(files)) == (PROMPT, 2)

    receipt = erase(completed)

    (request,) = fal.log.accepted()
    assert (request.inputs, request.answer) == (None, None)
    assert [get(f"{fal.url}{file.path}").status_code for file in files] == [404, 404]
    assert receipt.provider_copy == Erasure.ProviderCopy.DELETED


def test_without_an_admin_key_the_receipt_says_that_fal_keeps_its_copy(completed: Generation, settings) -> None:
    settings.FAL_ADMIN_KEY = ""

    receipt = erase(completed)

    assert receipt.provider_copy == Erasure.ProviderCopy.KEPT
    assert receipt.done_at is not None


def test_a_deletion_that_fal_refuses_is_repeated(completed: Generation, work: Work, settings) -> None:
    admin_key, settings.FAL_ADMIN_KEY = settings.FAL_ADMIN_KEY, settings.FAL_KEY
    refused = erase(completed)

    settings.FAL_ADMIN_KEY = admin_key
    work.erase()

    assert (refused.done_at, "403" in refused.detail, stored_keys(completed)) == (None, True, set())
    assert Erasure.objects.get().provider_copy == Erasure.ProviderCopy.DELETED


def test_a_job_that_is_found_after_the_erasure_is_deleted_too(
    completed: Generation, fal: Simulator, work: Work
) -> None:
    """F11: the answer to a submission was lost, and fal had accepted it."""
    erase(completed)
    late = Submission.objects.create(generation=completed, number=2, state=Submission.State.UNKNOWN)
    fal.log.add(replace(fal.log.accepted()[0], request_id="late", inputs={"prompt": PROMPT}))

    lifecycle.submitted(late, clients.fal().receipt_for(completed.endpoint, "late"))
    work.erase()

    assert [request.inputs for request in fal.log.accepted()] == [None, None]
    assert Erasure.objects.get().done_at is not None


def test_nothing_is_deleted_at_fal_if_it_had_no_job(order: PlaceOrder) -> None:
    generation = order(prompt=PROMPT)
    lifecycle.failed(generation, lifecycle.failure(FailureCode.DEADLINE), actor="test")

    assert erase(generation).provider_copy == Erasure.ProviderCopy.NONE


# --- Retention rules ---


@pytest.mark.parametrize("days, is_erased", [(31, True), (29, False)])
def test_a_generation_is_erased_when_it_is_older_than_its_accounts_rule(
    completed: Generation, alice: Account, days: int, is_erased: bool
) -> None:
    Retention.objects.create(account=alice, days=30)

    eraser.run_once(limit=10, now=timezone.now() + timedelta(days=days))

    assert (Generation.objects.get().erased_at is not None) is is_erased


def test_an_upload_is_erased_by_the_same_rule(alice: Account) -> None:
    upload = insert_upload(alice.user)
    Retention.objects.create(account=alice, days=30)

    eraser.run_once(limit=10, now=timezone.now() + timedelta(days=31))

    upload.refresh_from_db()
    assert upload.state == Upload.State.ERASED


def test_without_a_rule_generations_are_kept(completed: Generation) -> None:
    eraser.run_once(limit=10, now=timezone.now() + timedelta(days=9999))

    assert Generation.objects.get().erased_at is None


def test_the_rules_are_applied_once_an_hour(completed: Generation, alice: Account) -> None:
    in_two_days = timezone.now() + timedelta(days=2)
    eraser.run_once(limit=10)
    Retention.objects.create(account=alice, days=1)

    eraser.run_once(limit=10, now=in_two_days)
    assert Generation.objects.get().erased_at is None

    Heartbeat.objects.filter(name=eraser.RULES).update(seen_at=just_passed() - eraser.RULES_EVERY)
    eraser.run_once(limit=10, now=in_two_days)
    assert Generation.objects.get().erased_at is not None


def test_generations_beyond_the_limit_are_erased_in_the_next_run(order: PlaceOrder, alice: Account) -> None:
    for number in range(3):
        lifecycle.failed(order(prompt=str(number)), lifecycle.failure(FailureCode.DEADLINE), actor="test")
    Retention.objects.create(account=alice, days=1)

    for kept in (1, 0):
        eraser.run_once(limit=2, now=timezone.now() + timedelta(days=2))
        assert Generation.objects.filter(erased_at=None).count() == kept
