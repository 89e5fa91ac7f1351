"""What is counted in one file."""

from __future__ import annotations

import pytest

from quality.structure import files
from quality.structure.source import Module

pytestmark = pytest.mark.once

TEXT = '''"""A docstring

of three lines."""

LIMIT = 3  # A comment beside code belongs to the code.


def order() -> None:
    """Places it."""
    # The price first.
    _price()
    run(_charge)
    _twice(), _twice()


def _price() -> int: ...


def _charge() -> int: ...


def _twice() -> int: ...
'''


def _measured(text: str = TEXT, path: str = "generations/workers/copier.py") -> files.File:
    return files.measure(Module(name="", path=path, text=text))


def test_lines_are_code_comments_docstrings_or_blank() -> None:
    file = _measured()

    assert (file.lines, file.code_lines, file.comment_lines, file.docstring_lines) == (22, 8, 1, 4)


def test_a_private_function_that_is_named_once_is_a_single_use_helper() -> None:
    single_use = [function.place.split()[-1] for function in _measured().functions if function.is_single_use]

    assert single_use == ["_price", "_charge"]


def test_the_length_of_a_function_begins_at_its_def() -> None:
    lengths = {function.place.split()[-1]: function.lines for function in _measured().functions}

    assert (lengths["order"], lengths["_price"]) == (6, 1)


def test_the_package_of_a_file_is_its_folder_and_within_the_core_a_part_of_it() -> None:
    paths = ["generations/workers/copier.py", "generations/helper.py", "config/management/commands/up.py"]

    assert [_measured("", path).package for path in paths] == ["generations/workers", "generations", "config"]


def test_only_functions_of_test_files_are_tests() -> None:
    text = "def test_it() -> None: ..."

    assert [_measured(text, path).functions[0].is_test for path in ("tests/test_a.py", "tests/work.py")] == [
        True,
        False,
    ]
