"""What a person should know of without looking for it: unusual spending, many failures, callbacks that stay away, a
bill above our prices, the breaker. Each is told once when it begins and once when it is over: a line of the log, a
mail, a line in the admin.

    spending   an account spends in an hour what is unusual for it
    failures   too many orders fail, of one model or of all together
    callbacks  fal's verdicts come by our own asking, and not by its callbacks
    bill       fal counts more for a model than our price reckons with
    breaker    fal refuses our key or account

What is on is a heartbeat: when it was last seen to be so. It is over when it has not been seen for QUIET; so what
comes and goes is one episode.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import Max, Sum
from django.db.models.functions import Now, TruncHour
from django.utils import timezone

from credits.models import Account
from database.clock import from_now
from database.ids import first_id
from database.time_scale import scaled
from generations.models import Generation
from generations.ordering.quotas import SPENDING
from generations.provider import circuit_breaker
from generations.safe_http.addresses import is_loopback
from operations import statistics
from operations.models import Alert as ActiveAlert

logger = logging.getLogger(__name__)

QUIET_SECONDS = scaled(600)

# Unusual is what is so many times as much as in the busiest hour of the week before, and worth a look at all
# (ALERT_SPENDING_CREDITS).
TIMES_THE_BUSIEST_HOUR = 4
WEEK = timedelta(days=7)
ACCOUNTS_LOOKED_AT = 20
# Of all orders a fifth may fail before somebody is called; of one model, which may have its moods, half. Fewer than
# these say nothing.
FAILED_PERCENT, ORDERS_MIN = 20, 20
FAILED_PERCENT_OF_MODEL, ORDERS_OF_MODEL_MIN = 50, 10
# A callback now and then is lost, and asking finds it within seconds. When half of them are, something is in the way.
CALLBACK_PERCENT_MIN, VERDICTS_MIN = 50, 20
# Prices are whole credits, and rounded; a tenth is no rounding. One order may be an odd one.
BILL_PERCENT_MAX, ORDERS_BILLED_MIN = 10, 3

TITLES = {
    "spending": "unusual spending",
    "failures": "many failures",
    "callbacks": "callbacks stay away",
    "bill": "fal bills more than our price",
    "breaker": "fal refuses us",
}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Something that is so now."""

    name: str
    subject: str = ""
    """Whose it is: a model's slug, an account's number. Empty: everybody's."""
    text: str = ""

    @property
    def title(self) -> str:
        return f"{TITLES[self.name]}: {self.subject}" if self.subject else TITLES[self.name]


@dataclass(frozen=True, kw_only=True)
class AlertEmail:
    """For who is to be told."""

    subject: str
    text: str


# --- Episodes -------------------------------------------------------------------------------------------------------


def evaluate() -> list[AlertEmail]:
    """Evaluates every rule once. Begins and ends are logged; the returned e-mails are the caller's to send."""
    found = {(alert.name, alert.subject): alert for alert in _evaluate_rules()}
    begun = [email for alert in found.values() if (email := _begin_or_renew(alert)) is not None]
    quiet = ActiveAlert.objects.filter(last_seen_at__lt=from_now(-QUIET_SECONDS))
    ended = [_end(row) for row in quiet if (row.name, row.subject) not in found]
    return [*begun, *(email for email in ended if email is not None)]


def current() -> list[Alert]:
    """The active alerts, ordered by name and subject; without the figures, which are in the log and the e-mail."""
    return [Alert(name=row.name, subject=row.subject) for row in ActiveAlert.objects.filter(name__in=TITLES)]


def counts() -> dict[str, int]:
    """The number of active alerts of each name."""
    return dict.fromkeys(TITLES, 0) | dict(Counter(alert.name for alert in current()))


def mail(email: AlertEmail) -> None:
    """Sends the e-mail to ALERT_EMAIL. Raises what the mail client raises."""
    text = f"{email.text}\n\n{settings.SITE_URL}\n"
    EmailMessage(f"[Limn] {email.subject}", text, to=settings.ALERT_EMAIL).send()


def _begin_or_renew(alert: Alert) -> AlertEmail | None:
    """Records that the alert is active now. Returns an e-mail if it has just begun."""
    # Of several processes that see it first, one creates the row, and that one sends the e-mail.
    row, is_new = ActiveAlert.objects.get_or_create(
        name=alert.name, subject=alert.subject, defaults={"last_seen_at": Now()}
    )
    if not is_new:
        ActiveAlert.objects.filter(pk=row.pk).update(last_seen_at=Now())
        return None
    logger.error("alert: %s", TITLES[alert.name], extra={"subject": alert.subject or "-", "text": alert.text})
    return AlertEmail(subject=alert.title, text=alert.text)


def _end(row: ActiveAlert) -> AlertEmail | None:
    """Ends the episode. Returns an e-mail; None if another process ended or renewed it."""
    # The condition is checked again by the DELETE: another process may have seen the alert meanwhile.
    deleted, _ = ActiveAlert.objects.filter(pk=row.pk, last_seen_at__lt=from_now(-QUIET_SECONDS)).delete()
    if not deleted or row.name not in TITLES:
        return None
    alert = Alert(name=row.name, subject=row.subject)
    logger.warning("alert over: %s", TITLES[alert.name], extra={"subject": alert.subject or "-"})
    return AlertEmail(subject=f"over: {alert.title}", text=f"Not seen for {QUIET_SECONDS / 60:.0f} minutes.")


# --- What is alarming -----------------------------------------------------------------------------------------------


def _evaluate_rules() -> Iterator[Alert]:
    ended = statistics.ended()
    yield from _spending(timezone.now())
    yield from _failures(ended)
    yield from _callbacks(ended)
    yield from _bill()
    if circuit_breaker.is_open():
        yield Alert(name="breaker", text="fal refuses our key or account; nobody can order. Mend it at fal.")


def _spending(now: datetime) -> Iterator[Alert]:
    least, hour_ago = settings.ALERT_SPENDING_CREDITS, now - statistics.HOUR
    if not least:
        return
    lately_ordered = Generation.objects.filter(pk__gte=first_id(hour_ago))
    spenders = lately_ordered.order_by().values_list("account").annotate(spent=Sum(SPENDING)).filter(spent__gte=least)
    for account_id, spent in spenders.order_by("-spent")[:ACCOUNTS_LOOKED_AT]:
        busiest = _busiest_hour(account_id, hour_ago)
        if spent >= TIMES_THE_BUSIEST_HOUR * busiest:
            who = Account.objects.select_related("user").get(pk=account_id)
            text = f"{who} has spent {spent} credits within an hour, and at most {busiest} in any of the week before."
            yield Alert(name="spending", subject=f"account {account_id}", text=text)


def _busiest_hour(account_id: int, until: datetime) -> int:
    """What an account spent in the busiest hour of the week before."""
    ids = {"pk__gte": first_id(until - WEEK), "pk__lt": first_id(until)}
    hours = Generation.objects.filter(account=account_id, **ids).order_by().annotate(hour=TruncHour("created_at"))
    return int(hours.values("hour").annotate(spent=Sum(SPENDING)).aggregate(most=Max("spent"))["most"] or 0)


def _failures(ended: list[statistics.Ended]) -> Iterator[Alert]:
    bad = Counter(order.model for order in ended if order.is_bad)
    if _is_too_many(bad.total(), len(ended), percent=FAILED_PERCENT, least=ORDERS_MIN):
        yield Alert(name="failures", text=_of(bad.total(), len(ended), "orders that ended within the last hour failed"))
    for model, count in sorted(Counter(order.model for order in ended).items()):
        if _is_too_many(bad[model], count, percent=FAILED_PERCENT_OF_MODEL, least=ORDERS_OF_MODEL_MIN):
            text = _of(bad[model], count, f"orders of {model} that ended within the last hour failed")
            yield Alert(name="failures", subject=model[:30], text=text)


def _callbacks(ended: list[statistics.Ended]) -> Iterator[Alert]:
    told = [order.by_callback for order in ended if order.by_callback is not None]
    missed = told.count(False)
    if _can_call() and _is_too_many(missed, len(told), percent=100 - CALLBACK_PERCENT_MIN, least=VERDICTS_MIN):
        yield Alert(name="callbacks", text=_of(missed, len(told), "verdicts of fal's had to be asked for"))


def _bill() -> Iterator[Alert]:
    for found in statistics.counted():
        if found.orders >= ORDERS_BILLED_MIN and found.counted * 100 > found.reckoned * (100 + BILL_PERCENT_MAX):
            text = (
                f"Within a day fal counted {found.counted:.0f} credits at list price for {found.orders} orders of "
                f"{found.model}, which were reckoned at {found.reckoned}. See which: manage.py reconcile_bill. Ask "
                "another price, or take it off: the price book."
            )
            yield Alert(name="bill", subject=found.model[:30], text=text)


def _can_call() -> bool:
    """Whether fal can reach us at all. A Limn on its maker's machine need not be told every day that it cannot."""
    return is_loopback(_host(settings.FAL_QUEUE_URL)) or not is_loopback(_host(settings.SITE_URL))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _is_too_many(part: int, whole: int, *, percent: int, least: int) -> bool:
    return whole >= least and part * 100 >= whole * percent


def _of(part: int, whole: int, what: str) -> str:
    return f"{part} of {whole} {what}."
