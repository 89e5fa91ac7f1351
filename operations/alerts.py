"""Alert episodes: each alert is reported once when it begins and once when it ends.

`AlertingWorker` calls `evaluate` twice a minute and sends the e-mails that it returns. Both reports also go to the log,
and the admin shows the alerts that are active. `alert_rules` decides which alerts there are. An episode ends when its
alert has not been active for QUIET_SECONDS, so a condition that comes and goes is reported once.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models.functions import Now

from database.clock import from_now
from database.time_scale import scaled
from generations.models import Heartbeat
from operations import alert_rules
from operations.alert_rules import TITLES, Alert
from operations.models import AlertEpisode

logger = logging.getLogger(__name__)

QUIET_SECONDS = scaled(600)


@dataclass(frozen=True, kw_only=True)
class AlertEmail:
    """An e-mail to ALERT_EMAIL."""

    subject: str
    text: str


def evaluate() -> list[AlertEmail]:
    """Evaluate every rule, begin and end episodes, and log that. Return the e-mails that the caller has to send."""
    emails = []
    active = {(alert.name, alert.subject): alert for alert in alert_rules.active()}
    for alert in active.values():
        # Of several processes that see it first, one creates the row, and that one reports it.
        episode, begins = AlertEpisode.objects.get_or_create(
            name=alert.name, subject=alert.subject, defaults={"last_seen_at": Now()}
        )
        if begins:
            extra = {"subject": alert.subject or "-", "text": alert.text}
            logger.error("alert: %s", TITLES[alert.name], extra=extra)
            emails.append(AlertEmail(subject=alert.title, text=alert.text))
        else:
            AlertEpisode.objects.filter(pk=episode.pk).update(last_seen_at=Now())
    quiet = AlertEpisode.objects.filter(last_seen_at__lt=from_now(-QUIET_SECONDS))
    for episode in list(quiet):
        # DELETE checks the time again, because another process may have seen the alert meanwhile. Of several processes
        # that end the episode, one deletes the row. A name that TITLES does not have is of an older version of Limn.
        deleted, _ = quiet.filter(pk=episode.pk).delete()
        if deleted and episode.name in TITLES:
            alert = Alert(name=episode.name, subject=episode.subject)
            logger.warning("alert over: %s", TITLES[alert.name], extra={"subject": alert.subject or "-"})
            text = f"Not seen for {QUIET_SECONDS / 60:.0f} minutes."
            emails.append(AlertEmail(subject=f"over: {alert.title}", text=text))
    # Only now, because what this evaluation has found is recorded.
    evaluated = Heartbeat(name=alert_rules.EVALUATION, seen_at=Now())
    Heartbeat.objects.bulk_create([evaluated], update_conflicts=True, unique_fields=["name"], update_fields=["seen_at"])
    return emails


def current() -> list[Alert]:
    """Return the active alerts by name and subject, without the figures, which are in the log and the e-mail."""
    return [Alert(name=row.name, subject=row.subject) for row in AlertEpisode.objects.filter(name__in=TITLES)]


def counts() -> dict[str, int]:
    """Return the number of active alerts of each name, including 0."""
    return dict.fromkeys(TITLES, 0) | dict(Counter(alert.name for alert in current()))


def send(email: AlertEmail) -> None:
    """Send an e-mail to ALERT_EMAIL. Raises what the mail client raises: SMTPException or OSError."""
    text = f"{email.text}\n\n{settings.SITE_URL}\n"
    EmailMessage(f"[Limn] {email.subject}", text, to=settings.ALERT_EMAIL).send()
