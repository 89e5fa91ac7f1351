"""What a callback costs, in SQL statements and in Python calls: both are independent of the machine."""

from __future__ import annotations

import pytest

from generations.models import ProviderCallback
from tests.fixtures.callbacks import SubmitMany
from tests.helpers.callback_sender import CallbackSender
from tests.services.request_cost import WARM_UP_REQUESTS, Request, RequestCost, measure

pytestmark = pytest.mark.django_db(transaction=True)


def cost_of_callbacks(submit_many: SubmitMany, callbacks: CallbackSender, **signing: str) -> RequestCost:
    submissions = iter(submit_many(WARM_UP_REQUESTS + 2))

    def next_callback() -> Request:
        submission = next(submissions)
        body, headers = callbacks.signed(submission, **signing)
        return Request(path=f"/hooks/fal/{submission.pk}/{submission.token}", method="POST", body=body, headers=headers)

    return measure(next_callback)


def test_a_callback_takes_one_statement_and_at_most_3_000_calls(
    submit_many: SubmitMany, callbacks: CallbackSender
) -> None:
    cost = cost_of_callbacks(submit_many, callbacks)

    assert cost.response.status == 200
    assert [sql.split()[0] for sql in cost.statements if not sql.startswith("PRAGMA")] == ["INSERT"]
    assert cost.calls <= 3000
    assert ProviderCallback.objects.filter(outcome=ProviderCallback.Outcome.RECEIVED).count() == WARM_UP_REQUESTS + 2


def test_b40_a_forgery_takes_no_statement_and_no_more_calls_than_a_genuine_callback(
    submit_many: SubmitMany, callbacks: CallbackSender
) -> None:
    """The costliest forgery is well-formed and for Limn's account."""
    forged = cost_of_callbacks(submit_many, callbacks, key="unknown")

    assert (forged.response.status, forged.statements) == (401, ())
    assert forged.calls <= 3000
