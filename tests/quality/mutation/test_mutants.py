"""How mutants are made, and that the list of equivalent ones is up to date."""

from __future__ import annotations

import ast

import pytest

from quality.mutation.equivalent import EQUIVALENT
from quality.mutation.mutants import mutants
from quality.mutation.subjects import SUBJECTS
from tests.helpers.source import ROOT

pytestmark = pytest.mark.once

EXPECTED = {
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


@pytest.mark.parametrize("source, expected", EXPECTED.items(), ids=list(EXPECTED))
def test_each_change_is_made_once(source: str, expected: set[str]) -> None:
    made = [mutant.source for mutant in mutants("m", source)]

    assert sorted(made) == sorted(ast.unparse(ast.parse(text)) for text in expected)


def test_every_equivalent_mutant_exists() -> None:
    modules = {module for subject in SUBJECTS for module in subject.modules}
    named = {mutant.partition(".")[0] for mutant in EQUIVALENT}
    made: set[str] = set()
    for module in modules:
        if module.rpartition(".")[2] in named:
            source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
            made |= {str(mutant) for mutant in mutants(module, source)}

    assert sorted(EQUIVALENT.keys() - made) == []


def test_every_test_file_that_must_kill_mutants_exists() -> None:
    assert [path for subject in SUBJECTS for path in subject.tests if not (ROOT / path).is_file()] == []
