"""The kinds of change that make a seeded bug.

Each names a module of the product and as little of its code as possible, and applies only if it finds exactly the
expected places. `make test` checks on the current code that every change applies, so a refactoring that moves or
renames the code shows at once which bug has to follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from quality.seeded_bugs import code_pattern
from quality.seeded_bugs.bug import DoesNotApply, SourceFiles


@dataclass(frozen=True, kw_only=True)
class ReplaceCode:
    """Replaces one expression or statement."""

    module: str
    """Its dotted name."""
    old: str
    """A pattern of `code_pattern`."""
    new: str
    within: str = ""
    """The function or class that contains `old`, where the module alone has several matches."""
    imports: str = ""
    """An import that `new` needs."""
    matches: int = 1
    """How often `old` must match; every match is replaced."""

    def apply(self, files: SourceFiles) -> None:
        path = _path(self.module)
        source = files.read(path)
        found = code_pattern.find(source, self.old, within=self.within)
        if len(found) != self.matches:
            raise DoesNotApply(f"{path}, {self.within or 'module'}: {len(found)} matches of {self.old}")
        # From the end, since a replacement moves what stands behind it.
        for match in sorted(found, key=lambda match: match.start, reverse=True):
            source = code_pattern.replace(source, match, self.new)
        files.write(path, code_pattern.add_import(source, self.imports))


@dataclass(frozen=True, kw_only=True)
class ReplaceText:
    """Replaces a piece of text, such as a part of an SQL statement."""

    module: str
    old: str
    new: str

    def apply(self, files: SourceFiles) -> None:
        path = _path(self.module)
        source = files.read(path)
        if (found := source.count(self.old)) != 1:
            raise DoesNotApply(f"{path}: {found} matches of {self.old}")
        files.write(path, source.replace(self.old, self.new))


@dataclass(frozen=True, kw_only=True)
class AddDecorator:
    """Decorates a function."""

    module: str
    function: str
    decorator: str
    imports: str
    """The import that the decorator needs."""

    def apply(self, files: SourceFiles) -> None:
        path = _path(self.module)
        source = files.read(path)
        definition = code_pattern.find_definition(source, self.function)
        if definition is None:
            raise DoesNotApply(f"{path} has no function {self.function}")
        lines = source.splitlines(keepends=True)
        lines.insert(definition.lineno - 1, f"{' ' * definition.col_offset}@{self.decorator}\n")
        files.write(path, code_pattern.add_import("".join(lines), self.imports))


@dataclass(frozen=True, kw_only=True)
class RemoveConstraint:
    """Adds a migration that removes a constraint of the database."""

    app: str
    model: str
    name: str

    def apply(self, files: SourceFiles) -> None:
        _add_migration(
            files,
            self.app,
            requires=self.name,
            operation=f'migrations.RemoveConstraint("{self.model}", "{self.name}")',
        )


@dataclass(frozen=True, kw_only=True)
class RemoveTrigger:
    """Adds a migration that removes a trigger which `database.triggers` has created."""

    app: str
    table: str
    kind: str
    """`final` or `append_only`: the function that declares it."""

    def apply(self, files: SourceFiles) -> None:
        trigger = f'Trigger(name="{self.table}_{self.kind}", table="{self.table}", events=("UPDATE",), message="")'
        _add_migration(
            files,
            self.app,
            requires=rf"\b{self.kind}\(\s*['\"]{self.table}['\"]",
            operation=f"migrations.RunPython(partial(drop, {trigger}))",
        )


MIGRATION = """from functools import partial

from django.db import migrations

from database.triggers import Trigger


def drop(trigger, apps, schema_editor):
    for statement in trigger.drop_sql(schema_editor.connection.vendor):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("{app}", "{last}")]
    operations = [{operation}]
"""


def _add_migration(files: SourceFiles, app: str, *, requires: str, operation: str) -> None:
    """Add a migration to an app, if one of its migrations contains the regular expression `requires`."""
    folder = Path(app) / "migrations"
    existing = files.in_folder(folder, "[0-9]*.py")
    if not any(re.search(requires, files.read(path)) for path in existing):
        raise DoesNotApply(f"no migration of {app} contains {requires}")
    # After all others, including those that another change of the same bug has added.
    last = existing[-1].stem
    path = folder / f"{int(last[:4]) + 1:04}_seeded_bug.py"
    files.write(path, MIGRATION.format(app=app, last=last, operation=operation))


def _path(module: str) -> Path:
    return Path(*module.split(".")).with_suffix(".py")
