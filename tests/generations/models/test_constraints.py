"""What the database refuses by itself, should the lifecycle ever forget."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from database.ids import new_id
from generations import lifecycle
from generations.models import (
    Batch,
    CircuitBreaker,
    Event,
    FailureCode,
    FalAccount,
    Generation,
    InputFile,
    OrderIntake,
    Output,
    PriceBookEntry,
    ProviderCallback,
    Retention,
    Rule,
    Submission,
    Upload,
)
from notifications.models import EmailNotification, WebhookDelivery, WebhookEndpoint
from operations.models import AlertEpisode, Charge
from tests.fixtures.orders import PlaceOrder

Write = Callable[[Submission], object]


@pytest.fixture
def attempt(order: PlaceOrder) -> Submission:
    """The first attempt of an order under the key "k"; fal called back, and named one file."""
    attempt = order(key="k").submissions.get()
    lifecycle.submitting(attempt.generation)
    lifecycle.answered(attempt, {"images": [{"url": "https://v3.fal.media/cat.png"}]})
    ProviderCallback.objects.create(submission=attempt, request_id="r", body_sha256="s")
    ProviderCallback.objects.create(request_id="r", body_sha256="s")
    return attempt


def _twin(attempt: Submission) -> None:
    generation = Generation.objects.get(pk=attempt.generation_id)
    generation.pk, generation._state.adding = new_id(), True
    generation.save()


def _generation(**wrong: Any) -> Write:
    return lambda attempt: Generation.objects.update(**wrong)


def _output(**wrong: Any) -> Write:
    return lambda attempt: Output.objects.update(
        **{"key": "k", "sha256": "s", "size_bytes": 1, "state": "stored", **wrong}
    )


def _second_output(attempt: Submission) -> None:
    Output.objects.create(generation=attempt.generation, index=0, give_up_at=timezone.now())


def _kept(days: int) -> Write:
    return lambda attempt: Retention.objects.create(account=attempt.generation.account, days=days)


def _second_batch(attempt: Submission) -> None:
    for _ in range(2):
        Batch.objects.create(account=attempt.generation.account, idempotency_key="k")


def _delivery(**wrong: Any) -> Write:
    return lambda attempt: ProviderCallback.objects.create(request_id="r", body_sha256="s", **wrong)


def _told(times: int = 1, *, endpoint: bool = True, **wrong: Any) -> Write:
    def write(attempt: Submission) -> None:
        account = attempt.generation.account
        to = WebhookEndpoint.objects.create(account=account, url="u") if endpoint else None
        row: dict[str, Any] = {
            "endpoint": to,
            "url": "" if endpoint else "u",
            "type": "generation.completed",
            "version": 1,
        }
        row |= {"account": account, "generation": attempt.generation, "next_attempt_at": timezone.now(), **wrong}
        for _ in range(times):
            WebhookDelivery.objects.create(**row)

    return write


def _upload(**wrong: Any) -> Write:
    row = {
        "key": "k",
        "thumbnail_key": "t",
        "sha256": "s",
        "size_bytes": 1,
        "state": "ready",
        "announced_size_bytes": 1,
        **wrong,
    }
    return lambda attempt: Upload.objects.create(account=attempt.generation.account, expires_at=timezone.now(), **row)


def _source(*, times: int = 1, upload: bool = False, output: bool = False) -> Write:
    def write(attempt: Submission) -> None:
        brought = Upload.objects.create(
            account=attempt.generation.account, expires_at=timezone.now(), announced_size_bytes=1
        )
        made = attempt.generation.outputs.get()
        for _ in range(times):
            InputFile.objects.create(
                generation=attempt.generation,
                path="image_url",
                upload=brought if upload else None,
                output=made if output else None,
            )

    return write


def _price(percent: int) -> Write:
    return lambda attempt: PriceBookEntry.objects.create(model="flux-schnell", percent=percent, actor="test")


def _billed_twice(attempt: Submission) -> None:
    for _ in range(2):
        Charge.objects.create(request_id="r", endpoint="e", billed_at=attempt.created_at, units=1, dollars=1)


def _second_episode(attempt: Submission) -> None:
    for _ in range(2):
        AlertEpisode.objects.create(name="breaker", last_seen_at=attempt.created_at)


WRONG: list[tuple[str, Write]] = [
    ("generations_key_once_per_account", _twin),
    ("generations_phase_fits_status", _generation(status="pending")),
    ("generations_phase_fits_status", _generation(phase="queued")),
    ("generations_phase_fits_status", _generation(phase="done", released=3)),
    ("generations_settled_when_done", _generation(phase="done", status="completed", captured=2)),
    ("generations_failed_costs_nothing", _generation(phase="done", status="failed", captured=3)),
    ("generations_output_index_once", _second_output),
    ("generations_stored_is_verified", _output(key="")),
    ("generations_stored_is_verified", _output(sha256="")),
    ("generations_stored_is_verified", _output(size_bytes=0)),
    # A CHECK that comes out as NULL would pass.
    ("generations_stored_is_verified", _output(size_bytes=None)),
    ("generations_attempts_are_numbered", lambda attempt: Submission.objects.create(generation=attempt.generation)),
    ("generations_callback_once", lambda attempt: _delivery(submission=attempt)(attempt)),
    ("generations_orphan_callback_once", _delivery()),
    ("generations_one_fal_account", lambda attempt: FalAccount.objects.create(id=2, pinned_by=attempt)),
    ("generations_batch_key_once", _second_batch),
    ("generations_event_number_once", lambda attempt: Event.objects.update(number=1)),
    ("notifications_once_per_endpoint", _told(2)),
    ("notifications_once_per_order_url", _told(2, endpoint=False)),
    ("notifications_webhook_has_one_url", _told(url="u")),
    ("notifications_webhook_has_one_url", _told(endpoint=False, url="")),
    ("notifications_pending_webhook_is_due", _told(next_attempt_at=None)),
    ("notifications_pending_webhook_is_due", _told(state="delivered")),
    ("notifications_email_has_one_subject", lambda a: EmailNotification.objects.create(account=a.generation.account)),
    ("generations_kept_for_a_day", _kept(days=0)),
    ("generations_percent_is_sane", _price(10_001)),
    ("operations_charge_once", _billed_twice),
    ("generations_one_circuit_breaker", lambda attempt: CircuitBreaker.objects.create(id=2)),
    ("generations_upload_is_verified", _upload(key="")),
    ("generations_upload_is_verified", _upload(thumbnail_key="")),
    ("generations_upload_is_verified", _upload(sha256="")),
    ("generations_upload_is_verified", _upload(size_bytes=0)),
    ("generations_upload_is_verified", _upload(size_bytes=None)),
    ("generations_input_file_is_one_file", _source()),
    ("generations_input_file_is_one_file", _source(upload=True, output=True)),
    ("generations_one_input_file_per_path", _source(times=2, output=True)),
    ("operations_one_episode", _second_episode),
    ("generations_one_order_intake", lambda attempt: OrderIntake.objects.create(id=2)),
]
# The ledger's constraints are tried in tests/credits.
APPS = ("accounts", "generations", "notifications", "operations")
# SQLite names the columns of a unique index, not the index.
COLUMNS = {
    "operations_one_episode": "name, operations_alertepisode.subject",
    "operations_charge_once": "endpoint, operations_charge.billed_at",
    "generations_event_number_once": "account_id, generations_event.number",
    "notifications_once_per_endpoint": "version, .*webhookdelivery.type, notifications_webhookdelivery.endpoint_id",
    "notifications_once_per_order_url": "generation_id, .*version, notifications_webhookdelivery.type$",
    "generations_key_once_per_account": "account_id, generations_generation.idempotency_key",
    "generations_one_input_file_per_path": "generation_id, generations_inputfile.path",
    "generations_batch_key_once": "account_id, generations_batch.idempotency_key",
    "generations_output_index_once": "generation_id, generations_output.index",
    "generations_attempts_are_numbered": "generation_id, generations_submission.number",
    "generations_callback_once": "submission_id, generations_providercallback.body_sha256",
    "generations_orphan_callback_once": "request_id, generations_providercallback.body_sha256",
}


@pytest.mark.parametrize("name, write", WRONG, ids=[f"{name}-{n}" for n, (name, _) in enumerate(WRONG)])
def test_the_database_refuses(attempt: Submission, name: str, write: Write) -> None:
    """I3, I5, I6, I14: each constraint by itself, written past the lifecycle."""
    said = COLUMNS.get(name, name) if connection.vendor == "sqlite" else name

    with pytest.raises(IntegrityError, match=said), transaction.atomic():
        write(attempt)


def test_every_constraint_is_tried() -> None:
    tables = [table for app in APPS for table in apps.get_app_config(app).get_models()]
    declared = {constraint.name for table in tables for constraint in table._meta.constraints}

    assert declared == {name for name, _ in WRONG}


def test_a_request_of_fals_belongs_to_one_attempt(attempt: Submission) -> None:
    """I8."""
    Submission.objects.update(request_id="r")

    with pytest.raises(IntegrityError, match="request_id"), transaction.atomic():
        Submission.objects.create(generation=attempt.generation, number=2, request_id="r")


# --- The end is final ---

CHANGES: dict[str, dict[str, Any]] = {
    "another end": {"status": "completed"},
    "no end": {"phase": "queued", "status": "pending"},
    "another price": {"credits": 4, "released": 4},
    "another charge": {"captured": 1, "released": 2, "status": "completed"},
    "another reason": {"failure_code": FailureCode.DEADLINE},
    "another rule": {"rule": Rule.NOT_STORED},
    "another time": {"finished_at": timezone.now()},
}


@pytest.fixture
def ended(order: PlaceOrder) -> Generation:
    generation = order()
    lifecycle.failed(generation, lifecycle.failure(FailureCode.CANCELLED), actor="test")
    return generation


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_has_ended_never_changes(ended: Generation, change: dict[str, Any]) -> None:
    """I7: written past the lifecycle."""
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        Generation.objects.update(**change)


def test_what_has_ended_may_still_be_put_down(ended: Generation) -> None:
    assert Generation.objects.update(lease=None, leased_until=None, attempts=7) == 1


def test_without_the_trigger_an_end_can_be_changed(ended: Generation) -> None:
    """Negative control: without the trigger the change is accepted, with the trigger it is refused again."""
    trigger = import_module("generations.migrations.0001_initial").ENDED_GENERATIONS_ARE_FINAL
    with connection.cursor() as cursor:
        for statement in trigger.drop_sql(connection.vendor):
            cursor.execute(statement)
        Generation.objects.update(failure_code=FailureCode.DEADLINE)
        for statement in trigger.create_sql(connection.vendor):
            cursor.execute(statement)

    assert Generation.objects.get().failure_code == FailureCode.DEADLINE
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        Generation.objects.update(failure_code=FailureCode.CANCELLED)
