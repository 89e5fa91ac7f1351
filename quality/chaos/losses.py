"""What restores of the database have undone. The checks excuse exactly this.

After a restore, rows are missing or show an earlier state. fal, the bucket and the clients remember the later one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg


class Content(NamedTuple):
    """The rows of a database that others have seen the effects of."""

    versions: dict[str, int]
    """The version of each generation, by its id."""
    submissions: dict[str, str]
    """The state of each submission, by its id."""
    outputs: dict[str, str]
    """The key of each stored output, by its id."""


def read(url: str) -> Content:
    """Read the content of a database."""
    with psycopg.connect(url) as connection:
        return Content(
            versions=dict(connection.execute("SELECT id::text, version FROM generations_generation").fetchall()),
            submissions=dict(connection.execute("SELECT id::text, state FROM generations_submission").fetchall()),
            outputs=dict(
                connection.execute("SELECT id::text, key FROM generations_output WHERE state = 'stored'").fetchall()
            ),
        )


@dataclass
class Losses:
    """The sum over all restores of a run."""

    generations: set[str] = field(default_factory=set)
    """Ids of generations that were placed after the dump: their rows are gone."""
    submissions: set[str] = field(default_factory=set)
    """Ids of submissions that were recorded after the dump."""
    changed_submissions: set[str] = field(default_factory=set)
    """Ids of submissions that changed after the dump: what fal answered is forgotten, and may be asked for again."""
    orphaned_files: set[str] = field(default_factory=set)
    """Keys of files whose rows are gone. They are strangers now, and must stay."""
    deleted_files: set[str] = field(default_factory=set)
    """Keys of files that were deleted after the dump, by an erasure. Their rows are back."""
    files_at_restore: set[str] = field(default_factory=set)
    """Keys of everything that the bucket held. Nothing of it is known to be an unneeded copy any more."""
    last_callback: int = 0
    """The number, in the simulator's log, of the last callback before a restore."""

    def add(self, before: Content, after: Content) -> None:
        """Record the difference between the database before a restore and after it."""
        self.generations |= before.versions.keys() - after.versions.keys()
        self.submissions |= before.submissions.keys() - after.submissions.keys()
        common = before.submissions.keys() & after.submissions.keys()
        self.changed_submissions |= {pk for pk in common if before.submissions[pk] != after.submissions[pk]}
        stored, restored = set(before.outputs.values()), set(after.outputs.values())
        self.orphaned_files |= stored - restored
        self.deleted_files |= restored - stored
