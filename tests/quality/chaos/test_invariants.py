"""The checker finds what it is for: each rule is broken once, behind the lifecycle's back."""

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
from generations.models import Event, FailureCode, Generation, Output, Phase, Status, Submission
from operations import invariants
from simulator import Simulator
from tests.fixtures.orders import Ordering, alice, order, tidy_connections, work
from tests.helpers.background_work import Work

__all__ = ["alice", "order", "tidy_connections", "work"]
pytestmark = pytest.mark.django_db(transaction=True)


def rules(found: list[Finding]) -> set[str]:
    return {finding.rule.partition("/")[0] for finding in found}


def without_a_hold(generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(credits=F("credits") + 1)


def with_a_hold_of_nobody(generation: Generation) -> None:
    Hold.objects.create(account=generation.account, amount=0, reference=f"generation:{generation.account_id}")


def with_a_balance_from_nowhere(generation: Generation) -> None:
    Account.objects.update(balance=F("balance") + 1)


def completed_without_a_file(generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(
        phase=Phase.DONE, status=Status.COMPLETED, captured=F("credits"), finished_at=timezone.now()
    )


def ended_and_going_on(generation: Generation) -> None:
    lifecycle.failed(generation, failure(FailureCode.DEADLINE), actor="test")
    other = Generation.objects.create(
        account=generation.account, model="m", endpoint="e", kind="image", credits=0, deadline_at=timezone.now()
    )
    Event.objects.filter(generation=generation, fact="failed").update(generation=other)


def accepted_without_a_request(generation: Generation) -> None:
    generation.submissions.update(state=Submission.State.ACCEPTED)


def served_twice(generation: Generation) -> None:
    generation.submissions.update(state=Submission.State.ACCEPTED, request_id="one")
    Submission.objects.create(generation=generation, number=2, state=Submission.State.ACCEPTED, request_id="two")


BROKEN: list[tuple[Callable[[Generation], None], str]] = [
    (without_a_hold, "I3"),
    (with_a_hold_of_nobody, "I3"),
    (with_a_balance_from_nowhere, "I1"),
    (completed_without_a_file, "I5"),
    (completed_without_a_file, "I7"),
    (completed_without_a_file, "I8"),
    (ended_and_going_on, "I7"),
    (accepted_without_a_request, "I8"),
    (served_twice, "I8"),
]


@pytest.mark.parametrize("broken, rule", BROKEN)
def test_a_broken_rule_is_found(broken: Callable[[Generation], None], rule: str, order: Ordering) -> None:
    broken(order())

    assert rule in rules(invariants.always())


def test_nothing_is_found_in_orders_of_every_phase(fal: Simulator, order: Ordering, work: Work) -> None:
    fal.script("callback:lost")
    completed = work.to_the_end(order())
    fal.script("callback:lost", "fail")
    failed = work.to_the_end(order())
    fal.script("hold", "callback:lost")
    order()
    work.submit()
    order()

    assert (completed.status, failed.status) == (Status.COMPLETED, Status.FAILED)
    assert invariants.always() == []


def test_unfinished_work_is_wrong_only_when_all_should_be_quiet(order: Ordering) -> None:
    generation = order()

    assert invariants.always() == []
    assert {finding.subject for finding in invariants.at_rest()} == {
        f"Generation {generation.pk}",
        f"Hold {Hold.objects.get().pk}",
    }


def test_a_file_that_is_not_copied_is_no_rest(fal: Simulator, order: Ordering) -> None:
    Output.objects.create(generation=order(), index=0, role="r", source_url="u", give_up_at=timezone.now())

    assert any(finding.subject.startswith("Output") for finding in invariants.at_rest())


def test_the_command_says_that_all_is_well_and_fails_when_it_is_not(order: Ordering, capsys) -> None:
    generation = order()
    call_command("check_invariants")
    without_a_hold(generation)

    assert "Every invariant holds." in capsys.readouterr().out
    with pytest.raises(CommandError, match="I3: Generation"):
        call_command("check_invariants", quiet_time=True)
