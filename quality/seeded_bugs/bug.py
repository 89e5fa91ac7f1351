"""What a seeded bug is: a sentence, what it changes, and the tests that must die of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Database = Literal["sqlite", "postgresql"]


class DoesNotApply(Exception):
    """The code has changed, and the bug no longer fits into it."""


class Change(Protocol):
    def apply(self, root: Path) -> None:
        """Make the change in this copy. Raises DoesNotApply."""


@dataclass(frozen=True, kw_only=True)
class Bug:
    number: str
    """Of the list in failure-modes.md §3.2; with a letter, one of several guards of that thing, alone."""
    sentence: str
    changes: tuple[Change, ...]
    caught_by: tuple[str, ...]
    """Tests, each of which must fail."""
    database: Database = "sqlite"


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """Text that stands in a file exactly once, and what stands there instead."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        path = root / self.file
        text = path.read_text() if path.exists() else ""
        if (found := text.count(self.old)) != 1:
            raise DoesNotApply(f"{self.file} has it {found} times: {self.old}")
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True, kw_only=True)
class Unconstrained:
    """A constraint of the database that is not there: one more migration takes it away."""

    app: str
    model: str
    name: str

    def apply(self, root: Path) -> None:
        _require(root / self.app / "migrations", self.name)
        _migrate(root, self.app, self.name, f'migrations.RemoveConstraint("{self.model}", "{self.name}")')


@dataclass(frozen=True, kw_only=True)
class Untriggered:
    """Triggers of the database that are not there: one more migration takes back the one that made them."""

    app: str
    migration: str

    def apply(self, root: Path) -> None:
        _require(root / self.app / "migrations", "def backwards", among=f"{self.migration}.py")
        made_by = f'import_module("{self.app}.migrations.{self.migration}")'
        _migrate(root, self.app, self.migration, f"migrations.RunPython({made_by}.backwards)")


MIGRATION = """from importlib import import_module

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("{app}", "{last}")]
    operations = [{operation}]
"""


def _migrate(root: Path, app: str, name: str, operation: str) -> None:
    folder = root / app / "migrations"
    last = max(path.stem for path in folder.glob("[0-9]*.py"))
    text = MIGRATION.format(app=app, last=last, operation=operation)
    # After all that are there, those of other bugs of the same handful included.
    (folder / f"{int(last[:4]) + 1:04}_without_{name}.py").write_text(text)


def _require(folder: Path, text: str, *, among: str = "*.py") -> None:
    if not any(text in path.read_text() for path in folder.glob(among)):
        raise DoesNotApply(f"no migration in {folder.name} knows {text}")
