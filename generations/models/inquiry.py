"""The base of every table about whose rows another system is asked, and for how long it has given no answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models

from database.time_scale import scaled


class Inquiry(models.Model):
    """A row about which fal is asked again and again.

    A row is never judged by its age: it may be old because Limn was down. What counts is for how long questions have
    remained without an answer that decides.
    """

    LATE_MAX: ClassVar = timedelta(seconds=scaled(600))
    """A question ends at most this long after it was due. Later, Limn was down, and patience begins again."""

    unanswered_since = models.DateTimeField(null=True, editable=False)
    """When the first of the latest questions was asked that remained without an answer."""
    unanswered_until = models.DateTimeField(null=True, editable=False)
    """When the row is due again, after the last of them."""

    class Meta:
        abstract = True

    def unanswered_for(self, now: datetime) -> timedelta:
        """Return for how long questions have remained without an answer; zero if Limn was down since."""
        if (
            self.unanswered_since is None
            or self.unanswered_until is None
            or now - self.unanswered_until > self.LATE_MAX
        ):
            return timedelta(0)
        return now - self.unanswered_since

    def record_unanswered(self, now: datetime) -> timedelta:
        """Note on this instance that a question has remained without an answer. Returns for how long they have."""
        unanswered = self.unanswered_for(now)
        self.unanswered_since, self.unanswered_until = now - unanswered, now
        return unanswered

    def record_answered(self) -> None:
        """Note on this instance that a question was answered."""
        self.unanswered_since = self.unanswered_until = None

    def unanswered_columns(self, retry_in_seconds: float) -> dict[str, Any]:
        """Return the columns to write after one of these notes, for a row that is due again in so many seconds."""
        if self.unanswered_until is not None:
            self.unanswered_until += timedelta(seconds=retry_in_seconds)
        return {"unanswered_since": self.unanswered_since, "unanswered_until": self.unanswered_until}
