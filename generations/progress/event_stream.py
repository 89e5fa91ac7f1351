"""How a generation or a batch goes on, as server-sent events: each change once, and at last the end.

An event's id says what its reader knows by then: of each generation the version, how far it was, and which line was
told last. So whoever comes back with it (`Last-Event-ID`) goes on where he was, whichever process he meets and however
often the server was restarted, and nothing is kept for him anywhere.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.db.models import Count, Q, Sum

from generations.models import Batch, Generation, GenerationQuerySet, Output, Phase, Status

# How much of the way lies behind it. What a model tells of its own progress moves it from RUNNING to STORING; files
# that are stored move it on from there. 100 is the end, good or bad.
_BEHIND = {Phase.WAITING: 5, Phase.RUNNING: 10, Phase.STORING: 90}
# A batch of 200 has ids of some 2,000 characters.
ID_CHARACTERS_MAX = 8000
_MARK = r"(\d{1,9})-(\d{1,3})-([0-9a-f]{1,4})"
_ID = re.compile(rf"{_MARK}(?:\.{_MARK})*(?::(?P<end>end)|:(?P<ended>\d{{1,3}})-(?P<progress>\d{{1,3}}))?", re.ASCII)


# --- How it stands --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """How one generation stands, as far as its progress is concerned."""

    id: UUID
    version: int
    status: str
    phase: str
    queue_position: int | None
    progress: int
    """0 to 100."""
    message: str
    error: dict[str, Any] | None
    """Why it failed, and what became of the money."""

    @property
    def is_done(self) -> bool:
        return self.phase == Phase.DONE


@dataclass(frozen=True)
class Subject:
    """What somebody follows: one generation, or those of a batch."""

    id: UUID
    generations: GenerationQuerySet
    is_batch: bool = False

    @classmethod
    def of(cls, subject: Generation | Batch) -> Self:
        if isinstance(subject, Batch):
            return cls(subject.pk, Generation.objects.filter(batch=subject.pk), is_batch=True)
        return cls(subject.pk, Generation.objects.filter(pk=subject.pk))

    def version(self) -> int | None:
        """It rises with every change. One cheap question, to be asked again and again; None when it is gone."""
        found: int | None = self.generations.order_by().aggregate(version=Sum("version"))["version"]
        return found

    def standings(self) -> list[Snapshot]:
        """In the order of the batch, which never changes."""
        names = ("version", "status", "phase", "queue_position", "percent", "message", "captured", "released")
        rows = self.generations.order_by("pk").only(*names, "failure_code", "failure_message", "retryable")
        stored = Count("outputs", filter=~Q(outputs__state=Output.State.PENDING))
        return list(map(_standing, rows.annotate(files=Count("outputs"), arrived=stored)))


def _standing(row: Any) -> Snapshot:
    failed = row.status == Status.FAILED
    return Snapshot(
        id=row.pk,
        version=row.version,
        status=row.status,
        phase=row.phase,
        queue_position=row.queue_position,
        progress=_progress(row),
        message=row.failure_message if failed else row.message,
        error=_error(row) if failed else None,
    )


def _progress(row: Any) -> int:
    if row.phase == Phase.DONE:
        return 100
    behind = _BEHIND.get(row.phase, 0)
    if row.phase == Phase.RUNNING:
        return behind + 80 * (row.percent or 0) // 100
    return behind + (9 * row.arrived // row.files if row.phase == Phase.STORING and row.files else 0)


def _error(row: Generation) -> dict[str, Any]:
    return {
        "code": row.failure_code,
        "message": row.failure_message,
        "retryable": row.retryable,
        "charged": row.captured,
        "refunded": row.released,
    }


# --- What is told of it ---------------------------------------------------------------------------------------------


class Cursor(NamedTuple):
    """What a listener knows of one generation."""

    version: int = 0
    progress: int = 0
    line: int = 0
    """A number made of the line that was told last."""

    def __str__(self) -> str:
        return f"{self.version}-{self.progress}-{self.line:x}"


@dataclass
class EventStream:
    """One who follows a job, and what he has been told."""

    job: Subject
    is_over: bool = False
    """Whether there is nothing left to tell."""
    _marks: list[Cursor] = field(default_factory=list)
    _whole: tuple[int, int] | None = None
    """Of a batch: how many had ended, and its progress."""
    _seen: int | None = None

    @classmethod
    def back(cls, job: Subject, last_event_id: str) -> Self:
        """Who was told all up to this id. What is no id of ours is as if it were not said."""
        found = _ID.fullmatch(last_event_id) if len(last_event_id) <= ID_CHARACTERS_MAX else None
        if found is None:
            return cls(job)
        marks = [Cursor(int(v), int(p), int(line, 16)) for v, p, line in re.findall(_MARK, last_event_id)]
        whole = (int(found["ended"]), int(found["progress"])) if found["ended"] else None
        heard_all = found["end"] is not None and job.version() == sum(mark.version for mark in marks)
        return cls(job, is_over=heard_all, _marks=marks, _whole=whole)

    def news(self) -> str:
        """What has happened since the last look, as events; empty when nothing has."""
        version = None if self.is_over else self.job.version()
        if version is None or version == self._seen:
            # Over, gone, or as it was.
            self.is_over = version is None
            return ""
        self._seen = version
        return "".join(self._changes(self.job.standings()))

    def _changes(self, now: Sequence[Snapshot]) -> Iterator[str]:
        versions = [standing.version for standing in now]
        if len(self._marks) != len(now) or any(mark.version > v for mark, v in zip(self._marks, versions, strict=True)):
            # Of another job, or of a database that was restored from an older copy: he knows nothing of this one.
            self._marks, self._whole = [Cursor()] * len(now), None
        for place, standing in enumerate(now):
            yield from self._changes_of(place, standing)
        if self.job.is_batch:
            yield from self._change_of_the_whole(now)
        if now and all(standing.is_done for standing in now):
            self.is_over = True
            yield _event(f"{self._id()}:end", "end", self._about(), **_end(now))

    def _changes_of(self, place: int, now: Snapshot) -> Iterator[str]:
        known = self._marks[place]
        if now.version == known.version:
            return
        about = self._about(now)
        line = zlib.crc32(now.message.encode()) % 0xFFFF + 1 if now.message else 0
        if line and line != known.line:
            # Of its own id: it may be the last thing that arrives before the line is cut.
            known = self._marks[place] = known._replace(line=line)
            yield _event(self._id(whole=True), "log", about, message=now.message)
        # Put back into fal's queue it begins anew; a bar that goes back would only frighten.
        progress = max(known.progress, now.progress)
        self._marks[place] = Cursor(now.version, progress, known.line)
        yield _event(self._id(whole=True), "progress", about, **_told(now, progress))

    def _change_of_the_whole(self, now: Sequence[Snapshot]) -> Iterator[str]:
        ended = sum(standing.is_done for standing in now)
        whole = (ended, sum(mark.progress for mark in self._marks) // max(1, len(self._marks)))
        if whole != self._whole:
            self._whole = whole
            message = f"{ended} of {len(now)} have ended"
            yield _event(self._id(whole=True), "progress", self._about(), progress=whole[1], message=message)

    def _about(self, standing: Snapshot | None = None) -> dict[str, str]:
        file = {"file_id": str(standing.id)} if standing and self.job.is_batch else {}
        return {"job_id": str(self.job.id), **file}

    def _id(self, *, whole: bool = False) -> str:
        marks = ".".join(map(str, self._marks))
        return f"{marks}:{self._whole[0]}-{self._whole[1]}" if whole and self._whole else marks


def _told(now: Snapshot, progress: int) -> dict[str, Any]:
    error = {"error": now.error} if now.error else {}
    return {
        "version": now.version,
        "status": now.status,
        "phase": now.phase,
        "progress": progress,
        "queue_position": now.queue_position,
        "message": now.message,
        **error,
    }


def _end(now: Sequence[Snapshot]) -> dict[str, Any]:
    completed = sum(standing.status == Status.COMPLETED for standing in now)
    return {
        "status": Status.COMPLETED.value if completed else Status.FAILED.value,
        "progress": 100,
        "completed": completed,
        "failed": len(now) - completed,
        "error": now[0].error if len(now) == 1 else None,
    }


def _event(event_id: str, name: str, about: dict[str, str], **what: Any) -> str:
    # JSON has no line breaks outside of strings, and escapes them inside.
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps({'type': name, **about, **what})}\n\n"
