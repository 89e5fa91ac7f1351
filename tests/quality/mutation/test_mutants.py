"""The maker of mutants makes them, and puts one in and takes it out again."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from credits import ledger
from generations.lifecycle import placing
from generations.ordering.orders import BatchOrder
from quality.mutation.module_patch import swapped
from quality.mutation.operators import mutants

pytestmark = pytest.mark.once

CHANGES = {
    "if a < b: c()": {"if a <= b: c()", "if a < b: pass"},
    "f(x=not a, y=b and c)": {
        "f(x=a, y=b and c)",
        "f(x=not a, y=b or c)",
        "f(x=not a, y=b)",
        "f(x=not a, y=c)",
        "pass",
    },
    "x = rows.filter(guard, pk=a)": {"x = rows.filter(guard)", "x = rows.filter(pk=a)"},
    "def f(): return 1": {"def f(): return 2"},
    "SECONDS_MAX = 1": set(),
    "x = {A, B} | {C}": {"x = {A} | {C}", "x = {B} | {C}", "x = {A, B} & {C}", "x = {A, B}", "x = {C}"},
    "@atomic\ndef f(): return True": {"def f(): return True", "@atomic\ndef f(): return False"},
    '"""Words."""\nlogger.info("words", 1)\nimport a': set(),
}


@pytest.mark.parametrize("source, expected", CHANGES.items(), ids=list(CHANGES))
def test_each_change_is_made_once(source: str, expected: set[str]) -> None:
    made = [mutant.source for mutant in mutants("m", source)]

    assert sorted(made) == sorted(ast.unparse(ast.parse(text)) for text in expected)


def _source() -> str:
    return Path(str(ledger.__file__)).read_text()


def test_a_mutant_reaches_those_who_have_imported_already() -> None:
    known = ledger._require_amount
    laxer = _source().replace("if isinstance(amount, bool) or", "if")

    with swapped(ledger, laxer):
        known(True, minimum=0)

    with pytest.raises(ValueError, match="whole number"):
        known(True, minimum=0)


def test_a_decorator_can_be_taken_away_and_comes_back() -> None:
    before = ledger.release.__code__

    with swapped(ledger, _source().replace("@transaction.atomic\ndef release", "def release")):
        between = ledger.release.__code__

    assert between is not before
    assert ledger.release.__code__ is before


def test_a_method_and_a_constant_can_be_changed_and_come_back() -> None:
    words = str(ledger.InsufficientCredits(needed=2, available=1))
    silent = _source().replace('super().__init__(f"This', '(f"This') + "\nCREDITS_MAX = 1\n"

    with swapped(ledger, silent):
        assert (str(ledger.InsufficientCredits(needed=2, available=1)), vars(ledger)["CREDITS_MAX"]) == ("", 1)

    assert (str(ledger.InsufficientCredits(needed=2, available=1)), vars(ledger)["CREDITS_MAX"]) == (words, 2**31 - 1)


def test_a_property_can_be_changed_and_made_a_method_and_comes_back() -> None:
    source = Path(str(placing.__file__)).read_text()
    order = BatchOrder(orders=[])

    with swapped(placing, source.replace("return sum(order.credits for order in self.orders)", "return 7")):
        assert order.credits == 7
    with swapped(placing, source.replace("@cached_property\n    def credits", "def credits")):
        assert callable(BatchOrder(orders=[]).credits)

    assert BatchOrder(orders=[]).credits == 0
