"""The hand-written statements return what the ORM returns, for every kind of row."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from accounts import api_keys
from generations import lifecycle
from generations.api.statements import find_batch_with_key, find_generation_with_key
from generations.models import Batch, CancelledBy, Generation, InputFile, Output, Submission, statements
from generations.models.statements import STATE, everything
from tests.fixtures.api import PlaceOrder
from tests.helpers.images import insert_upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(alice: User, order: PlaceOrder, storing: PlaceOrder, completed: PlaceOrder) -> list[Generation]:
    """Generations without anything, with outputs of which one is stored, and with input files."""
    plain, copied, of_files = order(metadata={"project": "moon"}), storing(num_images=2), completed(num_images=2)
    InputFile.objects.create(generation=of_files, path="image_urls[1]", output=copied.outputs.first())
    InputFile.objects.create(generation=of_files, path="image_urls[0]", upload=insert_upload(alice))
    Output.objects.filter(generation=of_files, index=0).update(flagged=True, width=64, height=48, duration_seconds=2.5)
    Submission.objects.create(generation=of_files, number=2, request_id="newer")
    Submission.objects.create(generation=of_files, number=3)
    return [plain, copied, of_files]


def test_a_generation_is_read_as_by_the_orm(rows: list[Generation], django_assert_num_queries: Any) -> None:
    digest = api_keys.issue(rows[0].account.user, "shop").key.digest
    for expected in Generation.objects.order_by("pk"):
        with django_assert_num_queries(2):
            found = find_generation_with_key(digest, expected.pk, everything())
            alone = statements.read_all(expected.pk)

        assert found is not None
        assert found.row is not None
        for generation in (
            found.row,
            alone,
            *statements.with_related_rows(Generation.objects.filter(pk=expected.pk)),
        ):
            assert statements.is_complete(generation)
            assert {name: getattr(generation, name) for name in statements.COLUMNS} == {
                name: getattr(expected, name) for name in statements.COLUMNS
            }
            _assert_related(generation, expected)


def _assert_related(generation: Generation, expected: Generation) -> None:
    latest = expected.submissions.exclude(request_id=None).order_by("-number").first()
    assert generation.fal_request_id == (latest and latest.request_id)  # type: ignore[attr-defined]
    outputs = list(expected.outputs.stored())
    found = statements.outputs_of(generation)
    columns = set(vars(found[0])) - {"_state"} if found else set()
    assert found == outputs
    assert [{name: getattr(output, name) for name in columns} for output in found] == [
        {name: getattr(output, name) for name in columns} for output in outputs
    ]
    files = statements.input_files_of(generation)
    assert [(file.pk, file.path, file.upload_id, file.output_id, file.output) for file in files] == [
        (file.pk, file.path, file.upload_id, file.output_id, file.output) for file in expected.input_files.all()
    ]
    assert [file.output.generation_id for file in files if file.output] == [
        file.output.generation_id for file in expected.input_files.all() if file.output
    ]


def test_the_state_alone_is_read_as_by_the_orm(rows: list[Generation]) -> None:
    digest = api_keys.issue(rows[0].account.user, "shop").key.digest

    for expected in rows:
        found = find_generation_with_key(digest, expected.pk, STATE)

        assert found is not None
        assert found.row == expected
        assert not statements.is_complete(found.row)
        names = set(vars(found.row)) - {"_state"}
        assert {name: getattr(found.row, name) for name in names} == {name: getattr(expected, name) for name in names}


def test_a_generation_of_another_user_is_not_found(rows: list[Generation], bob: User) -> None:
    digest = api_keys.issue(bob, "shop").key.digest

    for selection in (STATE, everything()):
        found = find_generation_with_key(digest, rows[0].pk, selection)

        assert found is not None
        assert (found.key.user, found.row) == (bob, None)
        assert find_generation_with_key("0" * 64, rows[0].pk, selection) is None


def test_a_generation_that_does_not_exist_cannot_be_read(db: None, bob: User) -> None:
    with pytest.raises(Generation.DoesNotExist):
        statements.read_all(api_keys.issue(bob, "shop").key.uid)


def test_the_state_of_a_batch_is_read_as_by_the_orm(alice: User, bob: User, batch: Batch) -> None:
    ended, _ = batch.generations.all()
    lifecycle.cancel_asked(ended, by=CancelledBy.CUSTOMER, actor="user:alice")
    found = find_batch_with_key(api_keys.issue(alice, "shop").key.digest, batch.pk)
    of_another_user = find_batch_with_key(api_keys.issue(bob, "shop").key.digest, batch.pk)

    assert found is not None
    assert found.row == Batch.objects.get()
    versions = [generation.version for generation in batch.generations.all()]
    assert (found.row.versions, found.row.open_count) == (sum(versions), 1)  # type: ignore[attr-defined]
    assert of_another_user is not None
    assert (of_another_user.key.user, of_another_user.row) == (bob, None)
