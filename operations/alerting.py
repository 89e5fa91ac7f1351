"""The worker that evaluates the alerts twice a minute and sends their e-mails.

The loop of `manage.py work` calls `run_once` every second. A mail server that does not answer delays e-mails only.
"""

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

EVALUATION_SECONDS = scaled(30)
# How many e-mails wait for a mail server that does not answer. The log and the admin have reported the alerts anyway.
UNSENT_MAX = 50


@dataclass
class AlertingWorker:
    """Evaluates the alerts, and keeps the e-mails that could not be sent yet."""

    clock: Callable[[], float] = monotonic
    """Seconds, from any beginning."""
    _evaluated_at: float | None = field(default=None, init=False)
    _unsent: list[AlertEmail] = field(default_factory=list, init=False)
    """Lost when the process ends. What they report is in the log and in the admin as well."""

    def run_once(self, *, limit: int) -> int:
        """Evaluate the alerts if EVALUATION_SECONDS have passed, and send up to `limit` e-mails. Return how many."""
        if self._evaluated_at is not None and self.clock() - self._evaluated_at < EVALUATION_SECONDS:
            return 0
        self._evaluated_at = self.clock()
        emails = alerts.evaluate()
        if settings.ALERT_EMAIL:
            self._unsent = [*self._unsent, *emails][-UNSENT_MAX:]
        sent = 0
        try:
            while self._unsent and sent < limit:
                # Removed only afterwards, so it is sent at the next evaluation if this fails.
                alerts.send(self._unsent[0])
                self._unsent.pop(0)
                sent += 1
        except (smtplib.SMTPException, OSError) as error:
            logger.warning("an alert e-mail could not be sent", extra={"error": f"{error}"[:200]})
        return sent


run_once = AlertingWorker().run_once
