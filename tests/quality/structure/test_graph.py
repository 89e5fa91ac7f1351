"""The components of a checkout and what their imports say about them."""

from __future__ import annotations

import subprocess

import pytest

from quality.structure import graph, source
from quality.structure.layout import reduced

pytestmark = pytest.mark.once


def test_the_parts_of_the_core_and_the_other_top_level_packages_are_components(checkout) -> None:
    found = graph.of(
        checkout({"config.urls": "", "generations.api.views": "", "generations.helper": "", "tests.plugin": ""})
    )

    assert found.components == ("config", "generations.api", "generations.helper")


def test_an_import_is_a_dependency_wherever_it_stands(checkout) -> None:
    inside_a_function = "def start():\n    from generations import helper\n"

    found = graph.of(checkout({"config.urls": inside_a_function, "config.site": "", "generations.helper": ""}))

    assert found.imports == {("config", "generations.helper"): ("config.urls",)}


def test_a_name_imported_from_a_module_counts_as_that_module(checkout) -> None:
    found = graph.of(checkout({"config.urls": "from credits.ledger import hold, capture\n", "credits.ledger": ""}))

    assert found.dependencies == [("config", "credits")]


def test_an_import_from_a_higher_layer_is_upward(checkout) -> None:
    found = graph.of(checkout({"config.urls": "import credits.ledger", "credits.ledger": "import config.urls"}))

    assert found.upward == [("credits", "config")]


def test_independent_siblings_may_not_import_each_other_but_others_may(checkout) -> None:
    modules = {"api": "import generations.pages", "pages": "", "workers": "import generations.inbox", "inbox": ""}

    found = graph.of(checkout({f"generations.{name}": text for name, text in modules.items()}))

    assert found.upward == [("generations.api", "generations.pages")]


def test_components_that_import_each_other_through_others_are_one_cycle(checkout) -> None:
    modules = {"a.one": "import b.two", "b.two": "import c.three", "c.three": "import a.one", "d.four": "import a.one"}

    assert [sorted(cycle) for cycle in graph.of(checkout(modules)).cycles] == [["a", "b", "c"]]


def test_the_longest_chain_counts_a_cycle_once_and_leaves_upward_dependencies_out(checkout) -> None:
    modules = {
        "config.urls": "import generations.api",
        "generations.api": "import a.one",
        "a.one": "import b.two",
        "b.two": "import a.one, credits.ledger",
        "credits.ledger": "import config.urls",
    }

    chain = graph.of(checkout(modules)).longest_chain

    assert [chain[0], chain[1], len(chain), chain[3]] == ["config", "generations.api", 4, "credits"]


def test_a_part_of_the_core_that_no_layer_names_is_unconstrained(checkout) -> None:
    found = graph.of(checkout({"generations.api": "import generations.helper", "generations.helper": ""}))

    assert found.unconstrained == ["generations.helper"]


def test_a_dependency_that_follows_from_others_is_left_out_of_the_picture() -> None:
    assert reduced([("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")]) == [("a", "b"), ("b", "c"), ("a", "d")]


def test_a_revision_is_read_without_checking_it_out() -> None:
    with source.revision("HEAD") as checkout:
        assert "credits.ledger" in {module.name for module in checkout.code}

    assert not checkout.root.exists()


def test_an_unknown_revision_is_an_error_of_git() -> None:
    with pytest.raises(subprocess.CalledProcessError), source.revision("no-such-revision"):
        pytest.fail("nothing to read")
