"""The base of every table about whose rows another system is asked, and for how long it has given no answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models

from database.time_scale import scaled

# Rows are asked about more often than this. After a longer pause Limn was down, and patience begins again.
PAUSE_MAX = timedelta(seconds=scaled(600))


class Inquiry(models.Model):
    """A row about which fal is asked again and again.

    A row is never judged by its age: it may be old because Limn was down. What counts is for how long questions have
    remained without an answer that decides.
    """

    unanswered_since = models.DateTimeField(null=True, editable=False)
    """When the first of the latest questions was asked that remained without an answer."""
    unanswered_until = models.DateTimeField(null=True, editable=False)
    """When the last of them was asked."""

    class Meta:
        abstract = True

    def unanswered_for(self, now: datetime) -> timedelta:
        """Return for how long questions have remained without an answer; zero if the last one is long ago."""
        if self.unanswered_since is None or self.unanswered_until is None or now - self.unanswered_until > PAUSE_MAX:
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

    @property
    def unanswered_columns(self) -> dict[str, Any]:
        """The columns to write after one of these notes."""
        return {"unanswered_since": self.unanswered_since, "unanswered_until": self.unanswered_until}
