"""Looks around twice a minute, and calls a person when something is alarming: once (see `alerts`)."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from django.conf import settings

from database.time_scale import scaled
from operations import alerts
from operations.alerts import AlertEmail

logger = logging.getLogger(__name__)

LOOK_SECONDS = scaled(30)
# A mail server that is away for longer than this many letters: the log and the admin have said it all.
UNSENT_MAX = 50


@dataclass
class Watchman:
    clock: Callable[[], float] = monotonic
    _looked_at: float | None = field(default=None, init=False)
    _unsent: list[AlertEmail] = field(default_factory=list, init=False)
    """For a mail server that is away. Who dies over it loses them; what they say stands in log and admin as well."""

    def run_once(self, *, limit: int) -> int:
        """Look, if it is time. How many letters went out."""
        if self._looked_at is not None and self.clock() - self._looked_at < LOOK_SECONDS:
            return 0
        self._looked_at = self.clock()
        letters = alerts.evaluate()
        if settings.ALERT_EMAIL:
            self._unsent = [*self._unsent, *letters][-UNSENT_MAX:]
        return self._send(limit)

    def _send(self, limit: int) -> int:
        sent = 0
        try:
            while self._unsent and sent < limit:
                alerts.mail(self._unsent[0])
                self._unsent.pop(0)
                sent += 1
        except (smtplib.SMTPException, OSError) as error:
            logger.warning("a mail about an alert could not be sent", extra={"error": f"{error}"[:200]})
        return sent


run_once = Watchman().run_once
