"""The charging rules: who pays for each way in which a generation can end, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from credits.audit import audit
from credits.models import Account
from generations import lifecycle
from generations.lifecycle import charging_rules
from generations.models import CancelledBy, FailureCode, Generation, Phase, Rule, Submission
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)

IMAGES = 4
PRICE = 3 * IMAGES
# What the simulator does, the rule that applies, and the credits that are charged.
ENDS = {
    "success": ([], Rule.DELIVERED, PRICE),
    "an image is missing": (["outputs:fewer"], Rule.PARTLY_DELIVERED, PRICE * 3 // 4),
    "one image is blackened": (["nsfw@1"], Rule.FLAGGED, PRICE * 3 // 4),
    "all images are blackened": (["nsfw"], Rule.FLAGGED, 0),
    "the inputs are refused": (["fail:image_too_small"], Rule.REFUSED_INPUT, 0),
    "the content is refused": (["fail:content_policy_violation"], Rule.CONTENT_POLICY, 0),
    "fal fails": (["fail:internal_error"], Rule.PROVIDER_FAILED, 0),
}


def charged(generation: Generation) -> tuple[str, int, int]:
    """The rule, the captured and the released credits."""
    generation.refresh_from_db()
    return generation.rule, generation.captured, generation.released


@pytest.mark.parametrize("faults, rule, credits", ENDS.values(), ids=ENDS)
def test_each_end_is_charged_by_its_rule(
    faults: list[str], rule: Rule, credits: int, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script(*faults)

    generation = work.until_done(order(prompt="cats", num_images=IMAGES))

    alice.refresh_from_db()
    assert charged(generation) == (rule, credits, PRICE - credits)
    assert (alice.balance, alice.held, audit().clean) == (1000 - credits, 0, True)


def test_a_cancellation_before_and_one_during_the_run_have_different_rules(order: PlaceOrder) -> None:
    queued, running = order(), order(prompt="a dog")
    Generation.objects.filter(pk=running.pk).update(phase=Phase.RUNNING, status="processing")
    for generation in (queued, running):
        lifecycle.cancel_asked(generation, by=CancelledBy.CUSTOMER, actor="user:alice")
    lifecycle.cancelled(running)

    assert charged(queued)[0] == Rule.CANCELLED_QUEUED
    assert charged(running)[0] == Rule.CANCELLED_RUNNING


def test_a_cancellation_after_fals_answer_changes_nothing(submitted: Submission) -> None:
    """fal's first verdict counts."""
    lifecycle.answered(submitted, {"images": [{"url": "https://v3.fal.media/cat.png"}]})

    assert lifecycle.cancelled(submitted.generation) is False

    assert Generation.objects.get().phase == Phase.STORING


def test_every_failure_has_a_rule_and_costs_nothing(order: PlaceOrder) -> None:
    # Which rule applies to a cancellation depends on the phase; see above.
    for code in set(FailureCode) - {FailureCode.CANCELLED}:
        generation = order()
        lifecycle.failed(generation, lifecycle.failure(code), actor="test")

        rule, captured, released = charged(generation)
        assert (captured, released) == (0, 3)
        assert charging_rules.TABLE[Rule(rule)].customer_pays == "nothing"


@pytest.mark.once
def test_the_documentation_contains_every_rule() -> None:
    page = Path("docs/charges.md").read_text()

    for rule, clause in charging_rules.TABLE.items():
        assert f"| `{rule}` | {clause.customer_pays} | {clause.providers_bill} | {clause.because} |" in page


@pytest.mark.once
def test_every_rule_is_in_the_table() -> None:
    assert set(charging_rules.TABLE) == set(Rule)
