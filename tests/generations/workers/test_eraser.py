"""Erasing: the prompt, the files and fal's payloads go; what it cost stays, and the books still agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from credits.audit import audit
from credits.models import Account
from generations import lifecycle
from generations.errors import NotFinished
from generations.files import storage
from generations.models import (
    Erasure,
    FailureCode,
    Generation,
    Heartbeat,
    Output,
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
from tests.helpers.images import insert_upload
from tests.services.seaweed import Bucket
from tests.simulator.queue_client import get

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "a cat that nobody may know of"


@pytest.fixture
def made(fal: Simulator, order: PlaceOrder, work: Work) -> Generation:
    return work.until_done(order(prompt=SECRET, num_images=2))


def erase(generation: Generation) -> Erasure:
    lifecycle.erase(generation, actor="user:alice")
    eraser.run_once(limit=10)
    return Erasure.objects.get()


def lying_there(generation: Generation) -> set[str]:
    return {listed.key for listed in storage.list_page() if str(generation.pk) in listed.key}


def everything_we_keep(generation: Generation) -> str:
    rows = [
        *Generation.objects.filter(pk=generation.pk).values(),
        *generation.submissions.values(),
        *generation.outputs.values(),
        *generation.events.values(),
        *({**row, "body": bytes(row["body"])} for row in ProviderCallback.objects.values()),
    ]
    return str(rows)


def test_the_files_and_the_words_are_gone(made: Generation) -> None:
    assert SECRET in everything_we_keep(made)
    assert len(lying_there(made)) == 2

    receipt = erase(made)

    assert SECRET not in everything_we_keep(made)
    assert lying_there(made) == set()
    assert receipt.done_at is not None


def test_what_fal_kept_is_gone_too(made: Generation, fal: Simulator) -> None:
    sent, lying = fal.log.accepted()[0], fal.log.files()
    assert (sent.inputs["prompt"], len(lying)) == (SECRET, 2)

    receipt = erase(made)

    assert (fal.log.accepted()[0].inputs, fal.log.accepted()[0].answer) == (None, None)
    assert [get(f"{fal.url}{file.path}").status_code for file in lying] == [404, 404]
    assert receipt.provider_copy == Erasure.ProviderCopy.DELETED


def test_without_a_key_that_may_delete_the_receipt_says_that_fal_keeps_it(made: Generation, settings) -> None:
    settings.FAL_ADMIN_KEY = ""

    assert (receipt := erase(made)).provider_copy == Erasure.ProviderCopy.KEPT
    assert receipt.done_at is not None


def test_what_fal_refuses_to_delete_now_is_asked_for_again(made: Generation, work: Work, settings) -> None:
    right, settings.FAL_ADMIN_KEY = settings.FAL_ADMIN_KEY, settings.FAL_KEY
    refused = erase(made)

    settings.FAL_ADMIN_KEY = right
    work.erase()

    assert (refused.done_at, "403" in refused.detail, lying_there(made)) == (None, True, set())
    assert Erasure.objects.get().provider_copy == Erasure.ProviderCopy.DELETED


def test_a_job_that_turns_up_after_the_erasure_is_forgotten_too(made: Generation, fal: Simulator, work: Work) -> None:
    """F11: the answer to an attempt was lost, and fal had taken it."""
    erase(made)
    late = Submission.objects.create(generation=made, number=2, state=Submission.State.UNKNOWN)
    twin = replace(fal.log.accepted()[0], request_id="late", inputs={"prompt": SECRET})
    fal.log.add(twin)

    lifecycle.submitted(late, clients.fal().receipt_for(made.endpoint, "late"))
    work.erase()

    assert [request.inputs for request in fal.log.accepted()] == [None, None]
    assert Erasure.objects.get().done_at is not None


def test_what_fal_never_had_is_not_asked_for(order: PlaceOrder, alice: Account) -> None:
    generation = order(prompt=SECRET)
    lifecycle.failed(generation, lifecycle.failure(FailureCode.DEADLINE), actor="test")

    assert erase(generation).provider_copy == Erasure.ProviderCopy.NONE


def test_the_receipt_says_what_lay_there(made: Generation) -> None:
    before = [
        {"output": str(output.pk), "role": output.role, "size": output.size_bytes, "sha256": output.sha256}
        for output in made.outputs.all()
    ]

    assert sorted(erase(made).files, key=str) == sorted(before, key=str)


def test_what_it_cost_stays_and_the_books_agree(made: Generation, alice: Account) -> None:
    erase(made)

    made.refresh_from_db()
    alice.refresh_from_db()
    assert (made.status, made.captured, alice.balance) == ("completed", 6, 994)
    assert (audit().clean, invariants.always(), invariants.at_rest()) == (True, [], [])


def test_asked_twice_it_happens_once(made: Generation) -> None:
    first = lifecycle.erase(made, actor="user:alice")

    assert lifecycle.erase(made, actor="user:alice").pk == first.pk
    assert made.events.filter(fact="erased").count() == 1


def test_what_is_being_made_is_not_erased(order: PlaceOrder) -> None:
    with pytest.raises(NotFinished, match="Cancel it first"):
        lifecycle.erase(order(), actor="user:alice")


def test_what_fal_says_afterwards_is_not_kept(callbacks: CallbackSender, submitted, fal: Simulator, work: Work) -> None:
    callbacks.send(submitted)
    generation = work.until_done(submitted.generation)
    erase(generation)

    late = fal.callback_body(submitted.request_id) + b" "
    callbacks.send(submitted, late)

    assert [bytes(delivery.body) for delivery in ProviderCallback.objects.all()] == [b"", b""]


def test_a_storage_that_is_away_gets_its_turn_later(settings, made: Generation) -> None:
    nowhere = Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    stored = settings.STORAGES
    settings.STORAGES = {**stored, "default": nowhere.storage}
    assert erase(made).done_at is None

    settings.STORAGES = stored
    Erasure.objects.update(next_attempt_at=timezone.now())
    eraser.run_once(limit=10)

    assert Erasure.objects.get().done_at is not None
    assert lying_there(made) == set()


def test_from_a_bucket_it_goes_too(bucket: Bucket, made: Generation) -> None:
    assert len(bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]) == 2

    erase(made)

    assert "Contents" not in bucket.client.list_objects_v2(Bucket=bucket.name)


# --- Rules ---


@pytest.mark.parametrize("days_old, erased", [(31, True), (29, False)])
def test_what_has_outlived_its_owners_rule_is_erased(
    made: Generation, alice: Account, days_old: int, erased: bool
) -> None:
    Retention.objects.create(account=alice, days=30)
    now = timezone.now()

    eraser.run_once(limit=10, now=now + timedelta(days=days_old))

    assert (Generation.objects.get().erased_at is not None) is erased


def test_what_was_brought_goes_by_the_same_rule(alice: Account) -> None:
    upload = insert_upload(alice.user)
    Retention.objects.create(account=alice, days=30)

    eraser.run_once(limit=10, now=timezone.now() + timedelta(days=31))

    upload.refresh_from_db()
    assert upload.state == Upload.State.ERASED


def test_without_a_rule_everything_is_kept(made: Generation) -> None:
    eraser.run_once(limit=10, now=timezone.now() + timedelta(days=9999))

    assert Generation.objects.get().erased_at is None


def test_the_rules_are_looked_at_once_an_hour(made: Generation, alice: Account) -> None:
    eraser.run_once(limit=10)
    Retention.objects.create(account=alice, days=1)

    eraser.run_once(limit=10, now=timezone.now() + timedelta(days=2))
    assert Generation.objects.get().erased_at is None

    Heartbeat.objects.filter(name=eraser.RULES).update(seen_at=timezone.now() - eraser.RULES_EVERY)
    eraser.run_once(limit=10, now=timezone.now() + timedelta(days=2))
    assert Generation.objects.get().erased_at is not None


def test_more_than_fits_one_look_is_erased_by_the_next(fal: Simulator, order: PlaceOrder, work: Work, alice) -> None:
    for number in range(3):
        lifecycle.failed(order(prompt=str(number)), lifecycle.failure("deadline"), actor="test")  # type: ignore[arg-type]
    Retention.objects.create(account=alice, days=1)

    for _ in range(2):
        eraser.run_once(limit=2, now=timezone.now() + timedelta(days=2))

    assert Output.objects.count() == Generation.objects.filter(erased_at=None).count() == 0
