"""Readers of texts, flags, numbers, choices, lists and folders: accepted values, defaults and error messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import env
from tests.config.env.conftest import Error, Read

pytestmark = pytest.mark.once


def test_a_text_is_stripped_and_an_empty_one_means_the_default(read: Read) -> None:
    assert {value: read(env.text, value, "default") for value in ("", "  ", " fox ")} == {
        "": "default",
        "  ": "default",
        " fox ": "fox",
    }


def test_a_variable_that_is_not_set_has_its_default() -> None:
    assert env.text("UNSET", "x") == "x"
    assert env.flag("UNSET", default=True) is True
    assert env.words("UNSET", "a,b") == ["a", "b"]
    assert env.integer("UNSET", 5, minimum=1, maximum=9) == 5


def test_a_flag_is_true_or_false_in_any_of_the_usual_words(read: Read) -> None:
    on = {value: read(env.flag, value, default=False) for value in ("true", "True", "TRUE", "1", "yes", "on")}
    off = {value: read(env.flag, value, default=True) for value in ("false", "False", "0", "no", "off")}

    assert set(on.values()) == {True}, on
    assert set(off.values()) == {False}, off


def test_a_flag_in_other_words_is_refused(error: Error) -> None:
    for value in ("maybe", "2", "tru", "none", "-"):
        message = error(env.flag, value, default=True)
        assert message == f"NAME: “{value}” is neither true nor false. Write true or false."


def test_a_number_may_have_leading_zeros_and_reach_its_bounds(read: Read) -> None:
    numbers = {value: read(env.integer, value, 5, minimum=1, maximum=65535) for value in ("1", "65535", "0080")}

    assert numbers == {"1": 1, "65535": 65535, "0080": 80}


def test_a_number_outside_its_bounds_or_in_another_notation_is_refused(error: Error) -> None:
    for value in ("0", "65536", "-1", "1.5", "1e3", "٣", "eight", "1_000", "9" * 5000):
        message = error(env.integer, value, 5, minimum=1, maximum=65535)
        assert message == f"NAME: “{value}” is not a whole number from 1 to 65535. Correct it."


def test_a_choice_may_be_written_in_lower_case(read: Read) -> None:
    assert read(env.one_of, "debug", "INFO", {"INFO", "DEBUG"}) == "DEBUG"


def test_an_unknown_choice_is_refused_with_the_known_ones(error: Error) -> None:
    message = error(env.one_of, "LOUD", "INFO", {"INFO", "DEBUG"})

    assert message == "NAME: “LOUD” is not known. Choose one of DEBUG, INFO."


def test_a_list_is_separated_by_commas_and_skips_empty_values(read: Read) -> None:
    lists = {value: read(env.words, value) for value in ("a, b ,,c", ",", "a")}

    assert lists == {"a, b ,,c": ["a", "b", "c"], ",": [], "a": ["a"]}


def test_a_folder_is_created_with_its_parents(read: Read, tmp_path: Path) -> None:
    folder = read(env.folder, str(tmp_path / "a" / ".." / "b" / "c"), Path("/unused"))

    assert folder == tmp_path / "b" / "c"
    assert folder.is_dir()


def test_a_folder_that_cannot_be_created_is_refused(error: Error) -> None:
    for path in ("/dev/null/x", "/proc/limn", "~no-user-of-this-name/x"):
        message = error(env.folder, path, Path("/unused"))
        assert message.startswith(f"NAME: {path} cannot be created (")
        assert message.endswith("Name a writable folder.")


def test_a_storage_prefix_is_a_folder_with_a_slash_at_its_end(read: Read) -> None:
    assert {value: read(env.storage_prefix, value) for value in ("", "/", "blue", "/blue/", "teams/blue-2/")} == {
        "": "",
        "/": "",
        "blue": "blue/",
        "/blue/": "blue/",
        "teams/blue-2/": "teams/blue-2/",
    }


def test_a_storage_prefix_that_is_no_folder_of_its_own_is_refused(error: Error) -> None:
    for value in ("Blue", "..", "a//b", "a/../b", "a b", "-a", "a.b", "é", "a" * 64, "generations", "a/uploads"):
        assert error(env.storage_prefix, value).startswith("NAME: “")
