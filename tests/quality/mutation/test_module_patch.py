"""A mutant takes effect in a running process, wherever its module was imported, and can be taken out again."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from quality.mutation.module_patch import patched

pytestmark = pytest.mark.once

SOURCE = """
from functools import cached_property
from django.db import transaction

LIMIT = 5

def check(amount):
    return amount <= LIMIT

@transaction.atomic
def save():
    return True

class Refused(Exception):
    code, status = "refused", 402

    def __init__(self, amount):
        super().__init__(f"{amount} is refused")

class Order:
    @cached_property
    def credits(self):
        return 7
"""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the product, as far as `patched` can see."""
    return load("generations.sample", SOURCE, monkeypatch)


@pytest.fixture
def importer(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(
        "generations.importer", "from generations.sample import LIMIT, Order, Refused, check, save", monkeypatch
    )


def load(name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = f"{name}.py"
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source, module.__file__, "exec"), vars(module))  # noqa: S102
    return module


def test_an_imported_function_and_constant_change_and_come_back(module: ModuleType, importer: ModuleType) -> None:
    lenient = SOURCE.replace("amount <= LIMIT", "True").replace("LIMIT = 5", "LIMIT = 6")

    with patched(module, lenient):
        assert (importer.check(100), importer.LIMIT) == (True, 6)

    assert (importer.check(100), importer.LIMIT) == (False, 5)


def test_a_decorator_is_removed_and_comes_back(module: ModuleType, importer: ModuleType) -> None:
    before = importer.save.__code__

    with patched(module, SOURCE.replace("@transaction.atomic", "")):
        assert importer.save.__code__ is not before
        assert importer.save() is True

    assert importer.save.__code__ is before


def test_a_method_that_no_longer_calls_super_is_replaced(module: ModuleType, importer: ModuleType) -> None:
    with patched(module, SOURCE.replace("super().__init__", "")):
        assert str(importer.Refused(8)) == "8"

    assert str(importer.Refused(8)) == "8 is refused"


def test_a_class_attribute_changes_and_comes_back(module: ModuleType, importer: ModuleType) -> None:
    with patched(module, SOURCE.replace("402", "403")):
        assert (importer.Refused.code, importer.Refused.status) == ("refused", 403)

    assert importer.Refused.status == 402


def test_a_property_changes_or_becomes_a_method(module: ModuleType, importer: ModuleType) -> None:
    with patched(module, SOURCE.replace("return 7", "return 8")):
        assert importer.Order().credits == 8
    with patched(module, SOURCE.replace("@cached_property", "")):
        assert importer.Order().credits() == 7

    assert importer.Order().credits == 7
