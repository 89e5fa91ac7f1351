"""The receipt of fal: a sender writes it without reading anything, if nothing has happened since it sent."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from generations import lifecycle
from generations.fal import ProviderReceipt
from generations.lifecycle import statements
from generations.models import CancelledBy, Event, Generation, Phase, Submission
from tests.fixtures.orders import PlaceOrder
from tests.helpers.lifecycle_facts import FAL

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(order: PlaceOrder) -> Submission:
    """A submission as its sender has it."""
    submission = lifecycle.submitting(order())
    assert submission is not None
    return submission


def receipt(request_id: str = "job") -> ProviderReceipt:
    return FAL.receipt_for("fal-ai/flux/schnell", request_id)


def selects(captured: CaptureQueriesContext, table: str) -> list[str]:
    return [query["sql"] for query in captured if query["sql"].startswith("SELECT") and table in query["sql"]]


def test_the_receipt_of_an_unchanged_generation_is_written_without_reading_it(sent: Submission) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert lifecycle.submitted(sent, receipt())

    assert selects(captured, "generations_generation") == []
    stored = Submission.objects.select_related("generation").get()
    assert (stored.state, stored.request_id, stored.generation.phase) == ("accepted", "job", Phase.WAITING)
    assert stored.generation.submitted_at is not None
    assert Generation.objects.get().version == sent.generation.version


def test_the_sender_shows_the_state_that_is_stored(sent: Submission) -> None:
    lifecycle.submitted(sent, receipt())

    stored, shown = Submission.objects.select_related("generation").get(), sent
    assert (shown.state, shown.request_id) == (stored.state, stored.request_id)
    for name in ("phase", "status", "version", "deadline_at", "next_attempt_at", "submitted_at"):
        assert getattr(shown.generation, name) == getattr(stored.generation, name)


def test_a_cancellation_after_the_post_is_passed_on_at_once(sent: Submission) -> None:
    lifecycle.cancel_asked(Generation.objects.get(), by=CancelledBy.CUSTOMER, actor="user:alice")

    assert lifecycle.submitted(sent, receipt())

    assert Generation.objects.to_reconcile().count() == 1


def test_a_callback_that_came_before_the_receipt_has_recorded_it(sent: Submission) -> None:
    lifecycle.submitted(Submission.objects.get(), receipt())

    assert not lifecycle.submitted(sent, receipt())

    assert (Event.objects.filter(fact="submitted").count(), Submission.objects.count()) == (1, 1)


def test_another_job_of_one_submission_is_surplus(sent: Submission) -> None:
    lifecycle.submitted(Submission.objects.get(), receipt("first"))

    assert not lifecycle.submitted(sent, receipt("second"))

    states = Submission.objects.order_by("number").values_list("request_id", "state")
    assert list(states) == [("first", "accepted"), ("second", "surplus")]
    assert sent.request_id is None


def test_a_request_that_another_generation_has_named_is_disputed(sent: Submission, order: PlaceOrder) -> None:
    other = lifecycle.submitting(order(prompt="another"))
    assert other is not None
    lifecycle.submitted(other, receipt())

    assert not lifecycle.submitted(sent, receipt())

    sent.refresh_from_db()
    generation = Generation.objects.get(pk=sent.generation_id)
    assert (generation.phase, sent.state, sent.request_id) == (Phase.UNKNOWN, Submission.State.DISPUTED, None)
    assert generation.events.filter(fact="disputed").count() == 1


def test_without_the_version_in_the_statement_a_cancellation_would_be_passed_on_late(
    sent: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: the row is written whatever its version is."""
    guarded = statements.update_generation

    def unguarded(generation: Generation, columns: Any) -> Any:
        write = guarded(generation, columns)
        sql = write.sql.replace("AND version = %s", "")
        return type(write)(sql, write.parameters[:-1], name=write.name, table=write.table)

    lifecycle.cancel_asked(Generation.objects.get(), by=CancelledBy.CUSTOMER, actor="user:alice")
    monkeypatch.setattr(statements, "update_generation", unguarded)

    assert lifecycle.submitted(sent, receipt())

    assert Generation.objects.to_reconcile().count() == 0
