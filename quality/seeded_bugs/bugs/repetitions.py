"""Bugs that order twice what was meant once, or at a price that the customer has not seen."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode

SERVICES = "generations.services"

BUGS = (
    Bug(
        number="36a",
        sentence="A retry is not compared with earlier orders",
        changes=(
            ReplaceCode(module="generations.lifecycle.placing", old="return find_repetition(...)", new="return None"),
        ),
        caught_by=(
            "test_a_second_click_orders_nothing_and_names_the_first",
            "test_a_retry_in_another_tab_leads_to_the_first",
        ),
    ),
    Bug(
        number="36b",
        sentence="A completed generation is ordered again at whatever price",
        changes=(ReplaceCode(module=SERVICES, old="order.credits != credits", new="False"),),
        caught_by=("test_at_another_price_nothing_is_ordered", "test_again_at_another_price_orders_nothing"),
    ),
    Bug(
        number="36c",
        sentence="A retry orders a completed generation again, without a word about its price",
        changes=(
            ReplaceCode(
                module=SERVICES,
                old="earlier.status == Status.COMPLETED and not earlier.erased_at",
                new="False",
            ),
        ),
        caught_by=("test_a_completed_generation_is_not_retried_but_ordered_again",),
    ),
    Bug(
        number="36d",
        sentence="Of several equal generations that failed, only one can be retried",
        changes=(
            ReplaceCode(
                module="generations.ordering.orders", old="ancestor == earlier.pk or is_later_order", new="True"
            ),
        ),
        caught_by=("test_of_equal_generations_that_failed_each_can_be_retried",),
    ),
)
