"""Every command in the documentation exists, with its options.

Shell blocks are checked here in form: their syntax, their programs, their words of `make`, their commands of
`manage.py` and their modules. `test_examples` runs those that can be run.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError, CommandParser

from quality.structure.source import ROOT
from tests.docs.pages import PAGES, SHELL_BLOCKS, Block

pytestmark = pytest.mark.once

HISTORY = ("docs/decisions/", "CHANGELOG.md")
MAKEFILE = (ROOT / "Makefile").read_text()
MAKE_WORDS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
BUILT_IN = {"export", "env", "echo", "head"}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def logical_lines(code: str) -> list[str]:
    """The lines of a block, with continued lines joined."""
    return [line for line in code.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


@cache
def parser_of(command: str) -> CommandParser:
    """The argument parser of a command of `manage.py`. Raises KeyError for an unknown one."""
    application = get_commands()[command]
    loaded = load_command_class(application, command) if isinstance(application, str) else application
    return loaded.create_parser("manage.py", command)


@cache
def help_of(module: str) -> str:
    """What `python -m MODULE --help` prints."""
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def module_of(make_word: str) -> str:
    """The module that a word of `make` runs with ARGS."""
    (module,) = re.findall(rf"^{make_word}:.*\n.*-m ([\w.]+) \$\(ARGS\)", MAKEFILE, re.MULTILINE)
    return str(module)


def fault_of_manage_command(line: str) -> str:
    """Parse the arguments as the command itself does; empty when it accepts them."""
    command, *arguments = shlex.split(line, comments=True)
    try:
        parser_of(command).parse_args(arguments)
    except KeyError:
        return f"manage.py {command} does not exist"
    except (CommandError, argparse.ArgumentError, SystemExit) as error:
        return f"manage.py {line}: {error}"
    return ""


def fault_of_module(line: str) -> str:
    """Check that a module runs and knows the options."""
    module, options = line.split(maxsplit=1)[0], OPTION.findall(line.partition("#")[0])
    return next((f"{module} {option}" for option in options if option not in help_of(module)), "")


def fault_of_make_arguments(make_word: str, arguments: str) -> str:
    """Check the options, or the names that the help lists."""
    module = module_of(make_word)
    if OPTION.search(arguments):
        return fault_of_module(f"{module} {arguments}")
    names = set(re.findall(r"[\w-]+", help_of(module)))
    return next((f"{module} {name}" for name in arguments.split() if name not in names), "")


def faults(text: str) -> list[str]:
    """What is wrong with the commands in a line or in a code span."""
    found = [f"make {word}" for word in re.findall(r"^make ([a-z-]+)", text) if word not in MAKE_WORDS]
    found += [fault_of_module(line) for line in re.findall(r"python -m ([\w.]+.*)", text)]
    for word, arguments in re.findall(r"^make ([a-z-]+) ARGS=\"(.*?)\"", text):
        if word in MAKE_WORDS - {"test"}:
            found.append(fault_of_make_arguments(word, arguments))
    return [fault for fault in found if fault]


def faults_of_block(block: Block) -> list[str]:
    """What is wrong with a shell block."""
    checked = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True, check=False)
    # Quoted text is data, so it is removed. A program begins a line, or follows a pipe or an opening substitution.
    lines = [re.sub(r"'[^']*'", "''", line) for line in logical_lines(block.code)]
    starts = [word for line in lines for word in re.findall(r"(?:^|\| |\$\()\s*([\w./]+)(?=[\s)]|$)", line)]
    known = BUILT_IN | set(re.findall(r"^(\w+)\(\)", block.code, re.MULTILINE)) | {".venv/bin/python"}
    manage_commands = [arguments for line in lines for arguments in re.findall(r"manage\.py (.+)", line)]
    found = [
        checked.stderr,
        *(f"{word} is not installed" for word in starts if word not in known and not shutil.which(word)),
        *(fault for line in lines for fault in faults(line)),
        *(fault_of_manage_command(line) for line in manage_commands),
    ]
    return [f"{block}: {fault}" for fault in found if fault]


def test_every_shell_block_is_valid() -> None:
    assert len(SHELL_BLOCKS) > 40
    assert [fault for block in SHELL_BLOCKS for fault in faults_of_block(block)] == []


def test_every_command_in_the_prose_exists() -> None:
    spans = [(page.name, span) for page in PAGES if not page.name.startswith(HISTORY) for span in page.code_spans]
    wrong = [f"{page}: {fault}" for page, span in spans for fault in faults(span)]
    for page, span in spans:
        for command, rest in re.findall(r"manage\.py ([a-z_]+)(.*)", span):
            known = parser_of(command)._option_string_actions if command in get_commands() else None
            if known is None or not set(OPTION.findall(rest)) <= set(known):
                wrong.append(f"{page}: {span}")

    assert len(spans) > 500
    assert wrong == []


def test_the_options_of_generate_are_those_of_its_page() -> None:
    page = (ROOT / "docs/command-line.md").read_text()
    own = {action.option_strings[0] for action in parser_of("generate")._actions if action.option_strings}
    common = {action.option_strings[0] for action in parser_of("work")._actions if action.option_strings}

    assert set(re.findall(r"^\| `(--[a-z-]+)", page, re.MULTILINE)) == own - common


def test_the_options_of_the_simulator_are_on_its_page() -> None:
    page = (ROOT / "docs/simulator.md").read_text()
    documented = set(re.findall(r"^\| `(--[a-z-]+)", page, re.MULTILINE))

    assert documented <= set(OPTION.findall(help_of("simulator")))


def test_wrong_commands_are_detected() -> None:
    code = "nothing | .venv/bin/python manage.py work --nothing"
    found = faults_of_block(Block(page="page", line=1, language="sh", code=code, is_run=True))

    assert len(found) == 2
    assert found[0] == "page:1: nothing is not installed"
    assert "unrecognized arguments: --nothing" in found[1]
    assert faults("make nothing") == ["make nothing"]
    assert faults('make chaos ARGS="--nothing 7"') == ["quality.chaos --nothing"]
    assert faults('make mutation ARGS="nothing"') == ["quality.mutation nothing"]
    assert fault_of_manage_command("nothing") != ""
    assert fault_of_manage_command("work --nothing") != ""


def test_the_examples_of_make_can_be_run() -> None:
    examples = re.findall(r"^([a-z-]+):.*## .*ARGS=\"?([^\":]+).*\n.*-m quality", MAKEFILE, re.MULTILINE)

    assert len(examples) == 5
    assert [fault for word, arguments in examples if (fault := fault_of_make_arguments(word, arguments))] == []
