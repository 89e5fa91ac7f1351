"""The progress of a generation or a batch as server-sent events: each change once, and finally the end.

`api.streams` sends the events; `results.wait` reads the snapshots. The id of an event contains all that its receiver
knows: of each generation the version, the progress, and which log line came last. A client that sends the id back as
`Last-Event-ID` therefore resumes exactly there, with any process and after any restart, and the server stores nothing
about it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.db.models import Count, Q, Sum

from generations.models import Batch, Generation, GenerationQuerySet, Output, Phase, Status

# The progress, in percent, at which a phase begins. Between RUNNING and STORING it follows the progress that the model
# reports, from STORING on the number of stored files. 100 is the end, completed or failed.
_PHASE_PROGRESS = {Phase.WAITING: 5, Phase.RUNNING: 10, Phase.STORING: 90}
_RUNNING_SHARE, _STORING_SHARE = 80, 9
# The id of a batch of 200 has about 2,000 characters.
ID_CHARACTERS_MAX = 8000
_CURSOR = r"(\d{1,9})-(\d{1,3})-([0-9a-f]{1,4})"
# One cursor for each generation. Of a batch, then, how many have ended and the progress of the whole. At last "end".
_ID = re.compile(
    rf"{_CURSOR}(?:\.{_CURSOR})*(?::(?P<end>end)|:(?P<ended>\d{{1,3}})-(?P<progress>\d{{1,3}}))?", re.ASCII
)


# --- Snapshots ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of one generation, as far as events report it."""

    id: UUID
    version: int
    status: str
    phase: str
    queue_position: int | None
    progress: int
    """0 to 100."""
    message: str
    error: dict[str, Any] | None
    """Why it failed, and what was charged."""

    @property
    def is_done(self) -> bool:
        return self.phase == Phase.DONE

    @classmethod
    def of(cls, row: Any) -> Self:
        """Return the snapshot of a generation that is annotated with `files` and `stored_files`."""
        progress = 100 if row.phase == Phase.DONE else _PHASE_PROGRESS.get(row.phase, 0)
        if row.phase == Phase.RUNNING:
            progress += _RUNNING_SHARE * (row.percent or 0) // 100
        elif row.phase == Phase.STORING and row.files:
            progress += _STORING_SHARE * row.stored_files // row.files
        # The members are those of `error` in the JSON of the generation.
        error = None
        if row.status == Status.FAILED:
            error = {
                "code": row.failure_code,
                "message": row.failure_message,
                "retryable": row.retryable,
                "charged": row.captured,
                "refunded": row.released,
            }
        return cls(
            id=row.pk,
            version=row.version,
            status=row.status,
            phase=row.phase,
            queue_position=row.queue_position,
            progress=progress,
            message=row.failure_message if error else row.message,
            error=error,
        )


@dataclass(frozen=True)
class Subject:
    """What a stream is about: one generation, or the generations of a batch."""

    id: UUID
    generations: GenerationQuerySet
    is_batch: bool = False

    @classmethod
    def of(cls, subject: Generation | Batch) -> Self:
        if isinstance(subject, Batch):
            return cls(subject.pk, Generation.objects.filter(batch=subject.pk), is_batch=True)
        return cls(subject.pk, Generation.objects.filter(pk=subject.pk))

    def version(self) -> int | None:
        """Return a number that rises with every change, by one cheap query. None: the rows are gone."""
        found: int | None = self.generations.order_by().aggregate(version=Sum("version"))["version"]
        return found

    def snapshots(self) -> list[Snapshot]:
        """Return the state of each generation, in the order of the batch, which never changes."""
        # Only these columns: the rows contain prompts and answers as well, and are read twice a second.
        names = ("version", "status", "phase", "queue_position", "percent", "message", "captured", "released")
        rows = self.generations.order_by("pk").only(*names, "failure_code", "failure_message", "retryable")
        stored_files = Count("outputs", filter=~Q(outputs__state=Output.State.PENDING))
        return list(map(Snapshot.of, rows.annotate(files=Count("outputs"), stored_files=stored_files)))


# --- Events ---------------------------------------------------------------------------------------------------------


class Cursor(NamedTuple):
    """What the receiver of a stream knows about one generation."""

    version: int = 0
    progress: int = 0
    line: int = 0
    """A checksum of the last log line."""

    def __str__(self) -> str:
        return f"{self.version}-{self.progress}-{self.line:x}"


@dataclass
class EventStream:
    """The events about a subject for one receiver, who knows what the cursors say."""

    subject: Subject
    is_over: bool = False
    """Whether the end was sent, or the subject is gone: there will be no more events."""
    _cursors: list[Cursor] = field(default_factory=list)
    """One for each generation, in their order."""
    _batch_state: tuple[int, int] | None = None
    """What the receiver knows about a batch as a whole: how many have ended, and its progress."""
    _version: int | None = None
    """The version of the subject at the last poll."""

    @classmethod
    def resume(cls, subject: Subject, last_event_id: str) -> Self:
        """Return a stream for a receiver that has all events up to this id. An invalid id starts from the beginning."""
        # The id comes from the client: its length is limited before it is parsed, and its numbers by the pattern.
        match = _ID.fullmatch(last_event_id) if len(last_event_id) <= ID_CHARACTERS_MAX else None
        if match is None:
            return cls(subject)
        cursors = [Cursor(int(v), int(p), int(line, 16)) for v, p, line in re.findall(_CURSOR, last_event_id)]
        batch_state = (int(match["ended"]), int(match["progress"])) if match["ended"] else None
        # A terminal state never changes, unless the database was restored from an older copy.
        is_over = match["end"] is not None and subject.version() == sum(cursor.version for cursor in cursors)
        return cls(subject, is_over=is_over, _cursors=cursors, _batch_state=batch_state)

    def next_events(self) -> str:
        """Return what has changed since the last call, as the text of events. Empty if nothing has."""
        version = None if self.is_over else self.subject.version()
        if version is None or version == self._version:
            # Without rows the subject was deleted, and nothing will follow.
            self.is_over = version is None
            return ""
        self._version = version
        snapshots = self.subject.snapshots()
        if len(self._cursors) != len(snapshots) or any(
            cursor.version > snapshot.version for cursor, snapshot in zip(self._cursors, snapshots, strict=True)
        ):
            # The id belongs to another subject, or the database was restored from an older copy: start again.
            self._cursors, self._batch_state = [Cursor()] * len(snapshots), None
        events = [
            event for index, snapshot in enumerate(snapshots) for event in self._generation_events(index, snapshot)
        ]
        ended = sum(snapshot.is_done for snapshot in snapshots)
        if self.subject.is_batch:
            # From the cursors, whose progress never falls.
            progress = sum(cursor.progress for cursor in self._cursors) // max(1, len(snapshots))
            if self._batch_state != (ended, progress):
                self._batch_state = (ended, progress)
                message = f"{ended} of {len(snapshots)} have ended"
                events.append(self._event("progress", progress=progress, message=message))
        if snapshots and ended == len(snapshots):
            self.is_over = True
            completed = sum(snapshot.status == Status.COMPLETED for snapshot in snapshots)
            result: dict[str, Any] = {
                "status": Status.COMPLETED.value if completed else Status.FAILED.value,
                "progress": 100,
                "completed": completed,
                "failed": ended - completed,
                # The failures of a batch are in the events of its generations.
                "error": snapshots[0].error if len(snapshots) == 1 else None,
            }
            events.append(self._event("end", **result))
        return "".join(events)

    def _generation_events(self, index: int, snapshot: Snapshot) -> Iterator[str]:
        """Yield the events about one generation, if it has changed. Moves its cursor with each of them."""
        cursor = self._cursors[index]
        if snapshot.version == cursor.version:
            return
        # 0 stands for no line. Four hexadecimal digits keep the ids of large batches short; two lines in a row with the
        # same checksum are one in 65,535, and then one of them is not sent.
        line = zlib.crc32(snapshot.message.encode()) % 0xFFFF + 1 if snapshot.message else 0
        if line and line != cursor.line:
            # With a cursor of its own, which leaves the version: this may be the last event before a disconnection.
            cursor = self._cursors[index] = cursor._replace(line=line)
            yield self._event("log", snapshot, message=snapshot.message)
        # fal may put a job back into its queue. A progress bar that goes back would only be alarming.
        progress = max(cursor.progress, snapshot.progress)
        self._cursors[index] = Cursor(snapshot.version, progress, cursor.line)
        state: dict[str, Any] = {
            "version": snapshot.version,
            "status": snapshot.status,
            "phase": snapshot.phase,
            "progress": progress,
            "queue_position": snapshot.queue_position,
            "message": snapshot.message,
        }
        if snapshot.error:
            state["error"] = snapshot.error
        yield self._event("progress", snapshot, **state)

    def _event(self, name: str, snapshot: Snapshot | None = None, **data: Any) -> str:
        """Return the text of an event, about one generation of a batch or about the whole subject."""
        event_id = ".".join(map(str, self._cursors))
        if name == "end":
            event_id += ":end"
        elif self._batch_state:
            event_id += f":{self._batch_state[0]}-{self._batch_state[1]}"
        members: dict[str, Any] = {"type": name, "job_id": str(self.subject.id)}
        if snapshot and self.subject.is_batch:
            members["file_id"] = str(snapshot.id)
        # JSON has no line breaks outside of strings and escapes them inside, so it fits into one line.
        return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(members | data)}\n\n"
