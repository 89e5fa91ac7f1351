"""`check_invariants` finds each violation: every rule is broken once, past the lifecycle, by a direct write."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.utils import timezone

from credits.audit import Finding
from credits.models import Account, Hold
from generations import lifecycle
from generations.lifecycle import failure
from generations.models import DailySpending, Event, FailureCode, Generation, Output, Phase, Status, Submission
from operations import invariants
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.clocks import just_passed

pytestmark = pytest.mark.django_db(transaction=True)


def rules(findings: list[Finding]) -> set[str]:
    return {finding.rule.partition("/")[0] for finding in findings}


def change_price_without_hold(generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(credits=F("credits") + 1)


def add_hold_without_generation(generation: Generation) -> None:
    Hold.objects.create(account=generation.account, amount=0, reference=f"generation:{generation.account_id}")


def raise_balance_without_entry(generation: Generation) -> None:
    Account.objects.update(balance=F("balance") + 1)


def spend_without_generation(generation: Generation) -> None:
    DailySpending.objects.update(credits=F("credits") + 1)


def complete_without_file(generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(
        phase=Phase.DONE, status=Status.COMPLETED, captured=F("credits"), finished_at=timezone.now()
    )


def end_event_of_a_running_generation(generation: Generation) -> None:
    lifecycle.failed(generation, failure(FailureCode.DEADLINE), actor="test")
    other = Generation.objects.create(
        account=generation.account, model="m", endpoint="e", kind="image", credits=0, deadline_at=timezone.now()
    )
    Event.objects.filter(generation=generation, fact="failed").update(generation=other)


def accept_without_request_id(generation: Generation) -> None:
    generation.submissions.update(state=Submission.State.ACCEPTED)


def accept_two_submissions(generation: Generation) -> None:
    generation.submissions.update(state=Submission.State.ACCEPTED, request_id="one")
    Submission.objects.create(generation=generation, number=2, state=Submission.State.ACCEPTED, request_id="two")


VIOLATIONS: list[tuple[Callable[[Generation], None], str]] = [
    (change_price_without_hold, "I3"),
    (add_hold_without_generation, "I3"),
    (spend_without_generation, "I3"),
    (raise_balance_without_entry, "I1"),
    (complete_without_file, "I5"),
    (complete_without_file, "I7"),
    (complete_without_file, "I8"),
    (end_event_of_a_running_generation, "I7"),
    (accept_without_request_id, "I8"),
    (accept_two_submissions, "I8"),
]


@pytest.mark.parametrize("violate, rule", VIOLATIONS)
def test_a_violation_is_found(violate: Callable[[Generation], None], rule: str, order: PlaceOrder) -> None:
    violate(order())

    assert rule in rules(invariants.always())


def test_orders_in_every_phase_violate_nothing(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("callback:lost")
    completed = work.until_done(order())
    fal.script("callback:lost", "fail")
    failed = work.until_done(order())
    fal.script("hold", "callback:lost")
    order()
    work.submit()
    order()

    assert (completed.status, failed.status) == (Status.COMPLETED, Status.FAILED)
    assert invariants.always() == []


def test_unfinished_work_is_a_violation_only_at_rest(order: PlaceOrder) -> None:
    generation = order()

    assert invariants.always() == []
    assert {finding.subject for finding in invariants.at_rest()} == {
        f"Generation {generation.pk}",
        f"Hold {Hold.objects.get().pk}",
    }


def test_a_file_that_is_not_copied_is_a_violation_at_rest(fal: Simulator, order: PlaceOrder) -> None:
    Output.objects.create(generation=order(), index=0, role="r", source_url="u", give_up_at=just_passed())

    assert any(finding.subject.startswith("Output") for finding in invariants.at_rest())


def test_the_command_reports_violations_and_fails(order: PlaceOrder, capsys) -> None:
    generation = order()
    call_command("check_invariants")
    change_price_without_hold(generation)

    assert "Every invariant holds." in capsys.readouterr().out
    with pytest.raises(CommandError, match="I3: Generation"):
        call_command("check_invariants", quiet_time=True)
