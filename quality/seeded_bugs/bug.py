"""What a seeded bug is: a sentence, the changes that cause it, and the tests that must fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Database = Literal["sqlite", "postgresql"]


class DoesNotApply(Exception):
    """The code has changed, and the bug can no longer be inserted."""


class SourceFiles:
    """The files of a checkout. Changes are kept in memory until they are saved."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.changed: dict[Path, str] = {}
        """The new text of each changed file, by its path below the root."""

    def read(self, path: Path) -> str:
        """Return the text of a file, with the changes made so far; an absent file is empty."""
        if path in self.changed:
            return self.changed[path]
        absolute = self._root / path
        return absolute.read_text() if absolute.is_file() else ""

    def write(self, path: Path, text: str) -> None:
        self.changed[path] = text

    def in_folder(self, folder: Path, pattern: str) -> list[Path]:
        """Return the files of a folder, new ones included, in the order of their names."""
        existing = {path.relative_to(self._root) for path in (self._root / folder).glob(pattern)}
        new = {path for path in self.changed if path.parent == folder and path.match(pattern)}
        return sorted(existing | new)

    def save(self) -> None:
        for path, text in self.changed.items():
            (self._root / path).write_text(text)


class Change(Protocol):
    """One change of the source; see `changes`."""

    def apply(self, files: SourceFiles) -> None:
        """Make the change. Raises DoesNotApply."""


@dataclass(frozen=True, kw_only=True)
class Bug:
    """One bug that a developer could have written."""

    number: str
    """Its number in the list of docs/failure-modes.md. A letter behind it: one of several guards, removed alone."""
    sentence: str
    changes: tuple[Change, ...]
    caught_by: tuple[str, ...]
    """The tests that must all fail, as `locate` of `catching_tests` finds them."""
    database: Database = "sqlite"

    def apply(self, root: Path) -> SourceFiles:
        """Make all changes of the bug in memory; `save` writes them to the files below `root`.

        Raises:
            DoesNotApply: The code has changed.
        """
        files = SourceFiles(root)
        for change in self.changes:
            change.apply(files)
        return files
