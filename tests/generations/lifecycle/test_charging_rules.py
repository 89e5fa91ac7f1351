"""The rule table: who pays, and why. Each ending of an order, for real, against the row that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from credits.audit import audit
from credits.models import Account
from generations import lifecycle
from generations.lifecycle import charging_rules
from generations.models import CancelledBy, FailureCode, Generation, Phase, Rule
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)

PICTURES = 4
PRICE = 3 * PICTURES
# What goes wrong at fal, the rule that it falls under, and what is charged of the price.
ENDINGS = {
    "all is well": ([], Rule.DELIVERED, PRICE),
    "fewer pictures": (["outputs:fewer"], Rule.PARTLY_DELIVERED, PRICE * 3 // 4),
    "one black picture": (["nsfw@1"], Rule.FLAGGED, PRICE * 3 // 4),
    "nothing but black": (["nsfw"], Rule.FLAGGED, 0),
    "inputs refused": (["fail:image_too_small"], Rule.REFUSED_INPUT, 0),
    "content refused": (["fail:content_policy_violation"], Rule.CONTENT_POLICY, 0),
    "fal is broken": (["fail:internal_error"], Rule.PROVIDER_FAILED, 0),
}


def ending_of(generation: Generation) -> tuple[str, int, int]:
    generation.refresh_from_db()
    return generation.rule, generation.captured, generation.released


@pytest.mark.parametrize("faults, rule, charged", ENDINGS.values(), ids=ENDINGS)
def test_an_ending_names_its_rule(
    faults: list[str], rule: Rule, charged: int, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script(*faults)

    generation = work.until_done(order(prompt="cats", num_images=PICTURES))

    alice.refresh_from_db()
    assert ending_of(generation) == (rule, charged, PRICE - charged)
    assert (alice.balance, alice.held, audit().clean) == (1000 - charged, 0, True)


def test_cancelled_in_line_and_cancelled_while_running_are_two_rules(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    waiting, running = order(), order(prompt="a dog")
    Generation.objects.filter(pk=running.pk).update(phase=Phase.RUNNING, status="processing")
    for generation in (waiting, running):
        lifecycle.cancel_asked(generation, by=CancelledBy.CUSTOMER, actor="user:alice")
    lifecycle.cancelled(running)

    assert ending_of(waiting)[0] == Rule.CANCELLED_QUEUED
    assert ending_of(running)[0] == Rule.CANCELLED_RUNNING


def test_a_cancellation_does_not_undo_what_fal_has_made(submitted, fal: Simulator) -> None:
    """fal's first verdict counts: its answer came, and its word that nothing will came after it."""
    lifecycle.answered(submitted, {"images": [{"url": "https://v3.fal.media/cat.png"}]})

    assert lifecycle.cancelled(submitted.generation) is False

    assert Generation.objects.get().phase == Phase.STORING


@pytest.mark.parametrize("code", [code for code in FailureCode if code != FailureCode.CANCELLED])
def test_every_failure_has_a_rule_and_costs_nothing(code: FailureCode, order: PlaceOrder) -> None:
    generation = order()
    lifecycle.failed(generation, lifecycle.failure(code), actor="test")

    rule, charged, returned = ending_of(generation)
    assert (charged, returned) == (0, 3)
    assert charging_rules.TABLE[Rule(rule)].customer_pays == "nothing"


@pytest.mark.once
def test_the_page_of_rules_tells_every_row() -> None:
    page = Path("docs/charges.md").read_text()

    for rule, clause in charging_rules.TABLE.items():
        assert f"| `{rule}` | {clause.customer_pays} | {clause.providers_bill} | {clause.because} |" in page


@pytest.mark.once
def test_every_rule_is_in_the_table() -> None:
    assert set(charging_rules.TABLE) == set(Rule)
