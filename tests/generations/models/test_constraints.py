"""What the database refuses by itself if the lifecycle has an error: wrong rows, and changes of ended generations."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from database.ids import new_id
from generations import lifecycle
from generations.models import (
    Batch,
    CircuitBreaker,
    DailySpending,
    Event,
    FailureCode,
    FalAccount,
    Generation,
    InputFile,
    MetadataEntry,
    OrderIntake,
    Output,
    PriceBookEntry,
    ProviderCallback,
    Retention,
    Rule,
    Submission,
    Upload,
    WriteAttempt,
)
from tests.fixtures.orders import PlaceOrder
from tests.helpers.constraints import WrongRow, assert_enforced
from tests.helpers.database_guards import execute

pytestmark = pytest.mark.django_db

# --- Constraints ---


@pytest.fixture
def submission(order: PlaceOrder) -> Submission:
    """The submission of a generation with one output, an event, a callback and an orphaned callback."""
    submission = order(key="k").submissions.get()
    lifecycle.submitting(submission.generation)
    lifecycle.answered(submission, {"images": [{"url": "https://v3.fal.media/cat.png"}]})
    ProviderCallback.objects.create(submission=submission, request_id="r", body_sha256="s")
    ProviderCallback.objects.create(request_id="r", body_sha256="s")
    return submission


def generation_rows(generation: Generation) -> list[WrongRow]:
    def update(**wrong: Any) -> Any:
        return lambda: Generation.objects.update(**wrong)

    def insert_copy() -> None:
        copy = Generation.objects.get(pk=generation.pk)
        copy.pk, copy._state.adding = new_id(), True
        copy.save()

    def insert_batches() -> None:
        for _ in range(2):
            Batch.objects.create(account=generation.account, idempotency_key="k")

    def insert_entries() -> None:
        for _ in range(2):
            MetadataEntry.objects.create(generation=generation, account=generation.account, key="k", value="v")

    return [
        ("generations_key_once_per_account", insert_copy),
        ("generations_phase_fits_status", update(status="pending")),
        ("generations_phase_fits_status", update(phase="queued")),
        ("generations_phase_fits_status", update(phase="done", released=3)),
        ("generations_settled_when_done", update(phase="done", status="completed", captured=2)),
        ("generations_failed_costs_nothing", update(phase="done", status="failed", captured=3)),
        ("generations_batch_key_once", insert_batches),
        ("generations_event_number_once", lambda: Event.objects.update(number=1)),
        ("generations_by_metadata", insert_entries),
    ]


def file_rows(generation: Generation) -> list[WrongRow]:
    def store(**wrong: Any) -> Any:
        columns = {"key": "k", "sha256": "s", "size_bytes": 1, "state": "stored", **wrong}
        return lambda: Output.objects.update(**columns)

    def insert_upload(**wrong: Any) -> Any:
        columns = {"key": "k", "thumbnail_key": "t", "sha256": "s", "size_bytes": 1, "state": "ready", **wrong}
        columns |= {"account": generation.account, "expires_at": timezone.now(), "declared_size_bytes": 1}
        return lambda: Upload.objects.create(**columns)

    def insert_input_file(*, times: int = 1, upload: bool = False, output: bool = False) -> Any:
        def insert() -> None:
            row = {
                "generation": generation,
                "path": "image_url",
                "upload": insert_upload()() if upload else None,
                "output": generation.outputs.get() if output else None,
            }
            for _ in range(times):
                InputFile.objects.create(**row)

        return insert

    return [
        (
            "generations_output_index_once",
            lambda: Output.objects.create(generation=generation, index=0, give_up_at=timezone.now()),
        ),
        # NULL needs a test of its own: a CHECK whose condition is NULL passes.
        *(
            ("generations_stored_is_verified", store(**wrong))
            for wrong in ({"key": ""}, {"sha256": ""}, {"size_bytes": 0}, {"size_bytes": None})
        ),
        *(
            ("generations_upload_is_verified", insert_upload(**wrong))
            for wrong in ({"key": ""}, {"thumbnail_key": ""}, {"sha256": ""}, {"size_bytes": 0}, {"size_bytes": None})
        ),
        (
            "generations_attempt_has_one_owner",
            lambda: WriteAttempt.objects.create(lease=uuid4(), next_cleanup_at=timezone.now()),
        ),
        ("generations_input_file_is_one_file", insert_input_file()),
        ("generations_input_file_is_one_file", insert_input_file(upload=True, output=True)),
        ("generations_one_input_file_per_path", insert_input_file(times=2, output=True)),
        ("generations_kept_for_a_day", lambda: Retention.objects.create(account=generation.account, days=0)),
    ]


def provider_rows(submission: Submission) -> list[WrongRow]:
    def insert_callback(of: Submission | None) -> Any:
        return lambda: ProviderCallback.objects.create(submission=of, request_id="r", body_sha256="s")

    return [
        (
            "generations_submissions_numbered",
            lambda: Submission.objects.create(generation=submission.generation),
        ),
        ("generations_callback_once", insert_callback(submission)),
        ("generations_orphan_callback_once", insert_callback(None)),
        ("generations_one_fal_account", lambda: FalAccount.objects.create(id=2, pinned_by=submission)),
        ("generations_one_circuit_breaker", lambda: CircuitBreaker.objects.create(id=2)),
        (
            "generations_spending_of_day",
            lambda: DailySpending.objects.create(account=submission.generation.account, day=timezone.now().date()),
        ),
        ("generations_one_order_intake", lambda: OrderIntake.objects.create(id=2)),
        (
            "generations_percent_is_sane",
            lambda: PriceBookEntry.objects.create(model="flux-schnell", percent=10_001, actor="test"),
        ),
    ]


def test_the_database_enforces_each_constraint(submission: Submission) -> None:
    """I3, I5, I6, I14."""
    generation = submission.generation

    assert_enforced("generations", [*generation_rows(generation), *file_rows(generation), *provider_rows(submission)])


def test_a_request_of_fal_belongs_to_one_submission(submission: Submission) -> None:
    """I8."""
    Submission.objects.update(request_id="r")

    with pytest.raises(IntegrityError, match="request_id"), transaction.atomic():
        Submission.objects.create(generation=submission.generation, number=2, request_id="r")


# --- The trigger of ended generations ---

FINAL_COLUMNS: list[dict[str, Any]] = [
    {"status": "completed"},
    {"phase": "queued", "status": "pending"},
    {"credits": 4, "released": 4},
    {"captured": 1, "released": 2, "status": "completed"},
    {"failure_code": FailureCode.DEADLINE},
    {"rule": Rule.NOT_STORED},
    {"finished_at": timezone.now()},
]


@pytest.fixture
def ended(order: PlaceOrder) -> Generation:
    generation = order()
    lifecycle.failed(generation, lifecycle.failure(FailureCode.CANCELLED), actor="test")
    return generation


def test_the_result_and_the_price_of_an_ended_generation_never_change(ended: Generation) -> None:
    """I7."""
    for change in FINAL_COLUMNS:
        with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
            Generation.objects.update(**change)


def test_the_lease_of_an_ended_generation_can_be_released(ended: Generation) -> None:
    assert Generation.objects.update(lease=None, leased_until=None, attempts=7) == 1


def test_without_the_trigger_an_ended_generation_can_be_changed(ended: Generation) -> None:
    """Negative control: the trigger is dropped, and a failure code is overwritten."""
    trigger = import_module("generations.migrations.0001_initial").ENDED_GENERATIONS_ARE_FINAL
    execute(*trigger.drop_sql(connection.vendor))
    Generation.objects.update(failure_code=FailureCode.DEADLINE)
    execute(*trigger.create_sql(connection.vendor))

    assert Generation.objects.get().failure_code == FailureCode.DEADLINE
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        Generation.objects.update(failure_code=FailureCode.CANCELLED)
