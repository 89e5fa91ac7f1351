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

from generations.safe_http.addresses import is_loopback
from credits.models import Account
from generations.provider import circuit_breaker
from database import ids
from operations import statistics
from database.clock import from_now
from generations.ordering.quotas import SPENDING
from generations.models import Generation, Heartbeat
from database.time_scale import scaled

logger = logging.getLogger(__name__)

PREFIX = "alert "
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
    words: str = ""

    @property
    def key(self) -> str:
        return f"{PREFIX}{self.name} {self.subject}".strip()

    @property
    def heading(self) -> str:
        return f"{HEADINGS[self.name]}: {self.subject}" if self.subject else TITLES[self.name]


@dataclass(frozen=True, kw_only=True)
class AlertEmail:
    """For who is to be told."""

    subject: str
    text: str


# --- Episodes -------------------------------------------------------------------------------------------------------


def evaluate() -> list[AlertEmail]:
    """Look at everything once. What has begun, and what is over, is logged; the letters about it are the caller's."""
    now = {alarm.key: alarm for alarm in _alarms()}
    return [*filter(None, map(_seen, now.values())), *filter(None, map(_over, _quiet(set(now))))]


def current() -> list[Alert]:
    """What is on, the newest last; without the figures, which are in the log and in the mail."""
    keys = Heartbeat.objects.filter(name__startswith=PREFIX).order_by("name").values_list("name", flat=True)
    return [alarm for key in keys if (alarm := _named(key)) is not None]


def counts() -> dict[str, int]:
    """How many of each are on."""
    return dict.fromkeys(TITLES, 0) | dict(Counter(alarm.name for alarm in current()))


def mail(letter: AlertEmail) -> None:
    """Send it to whoever is to be called. Raises what the mail server's client raises."""
    text = f"{letter.text}\n\n{settings.SITE_URL}\n"
    EmailMessage(f"[Limn] {letter.subject}", text, to=settings.ALERT_EMAIL).send()


def _seen(alarm: Alert) -> AlertEmail | None:
    # Of several who see it first, one makes the row.
    row, is_new = Heartbeat.objects.get_or_create(name=alarm.key, defaults={"seen_at": Now()})
    if not is_new:
        Heartbeat.objects.filter(pk=row.pk).update(seen_at=Now())
        return None
    logger.error("alert: %s", TITLES[alarm.name], extra={"subject": alarm.subject or "-", "words": alarm.words})
    return AlertEmail(subject=alarm.heading, text=alarm.words)


def _quiet(seen: set[str]) -> list[str]:
    silent = Heartbeat.objects.filter(name__startswith=PREFIX, seen_at__lt=from_now(-QUIET_SECONDS))
    return [name for name in silent.order_by("name").values_list("name", flat=True) if name not in seen]


def _over(key: str) -> AlertEmail | None:
    alarm = _named(key)
    gone, _ = Heartbeat.objects.filter(name=key, seen_at__lt=from_now(-QUIET_SECONDS)).delete()
    if alarm is None or not gone:
        return None
    logger.warning("alert over: %s", TITLES[alarm.name], extra={"subject": alarm.subject or "-"})
    return AlertEmail(subject=f"over: {alarm.heading}", text=f"It has not been so for {QUIET_SECONDS / 60:.0f} minutes.")


def _named(key: str) -> Alert | None:
    name, _, subject = key.removeprefix(PREFIX).partition(" ")
    return Alert(name=name, subject=subject) if name in TITLES else None


# --- What is alarming -----------------------------------------------------------------------------------------------


def _alarms() -> Iterator[Alert]:
    ended = statistics.ended()
    yield from _spending(timezone.now())
    yield from _failures(ended)
    yield from _callbacks(ended)
    yield from _bill()
    if circuit_breaker.is_open():
        yield Alert(name="breaker", words="fal refuses our key or account; nobody can order. Mend it at fal.")


def _spending(now: datetime) -> Iterator[Alert]:
    least, hour_ago = settings.ALERT_SPENDING_CREDITS, now - statistics.HOUR
    if not least:
        return
    lately_ordered = Generation.objects.filter(pk__gte=ids.first_id(hour_ago))
    spenders = lately_ordered.order_by().values_list("account").annotate(spent=Sum(SPENDING)).filter(spent__gte=least)
    for account_id, spent in spenders.order_by("-spent")[:ACCOUNTS_LOOKED_AT]:
        busiest = _busiest_hour(account_id, hour_ago)
        if spent >= TIMES_THE_BUSIEST_HOUR * busiest:
            who = Account.objects.select_related("user").get(pk=account_id)
            words = f"{who} has spent {spent} credits within an hour, and at most {busiest} in any of the week before."
            yield Alert(name="spending", subject=f"account {account_id}", words=words)


def _busiest_hour(account_id: int, until: datetime) -> int:
    """What an account spent in the busiest hour of the week before."""
    ids = {"pk__gte": ids.first_id(until - WEEK), "pk__lt": ids.first_id(until)}
    hours = Generation.objects.filter(account=account_id, **ids).order_by().annotate(hour=TruncHour("created_at"))
    return int(hours.values("hour").annotate(spent=Sum(SPENDING)).aggregate(most=Max("spent"))["most"] or 0)


def _failures(ended: list[statistics.Ended]) -> Iterator[Alert]:
    bad = Counter(order.model for order in ended if order.is_bad)
    if _is_too_many(bad.total(), len(ended), percent=FAILED_PERCENT, least=ORDERS_MIN):
        yield Alert(
            name="failures", words=_of(bad.total(), len(ended), "orders that ended within the last hour failed")
        )
    for model, count in sorted(Counter(order.model for order in ended).items()):
        if _is_too_many(bad[model], count, percent=FAILED_PERCENT_OF_MODEL, least=ORDERS_OF_MODEL_MIN):
            words = _of(bad[model], count, f"orders of {model} that ended within the last hour failed")
            yield Alert(name="failures", subject=model[:30], words=words)


def _callbacks(ended: list[statistics.Ended]) -> Iterator[Alert]:
    told = [order.by_callback for order in ended if order.by_callback is not None]
    missed = told.count(False)
    if _can_call() and _is_too_many(missed, len(told), percent=100 - CALLBACK_PERCENT_MIN, least=VERDICTS_MIN):
        yield Alert(name="callbacks", words=_of(missed, len(told), "verdicts of fal's had to be asked for"))


def _bill() -> Iterator[Alert]:
    for found in statistics.counted():
        if found.orders >= ORDERS_BILLED_MIN and found.counted * 100 > found.reckoned * (100 + BILL_PERCENT_MAX):
            words = (
                f"Within a day fal counted {found.counted:.0f} credits at list price for {found.orders} orders of "
                f"{found.model}, which were reckoned at {found.reckoned}. See which: manage.py reconcile_bill. Ask "
                "another price, or take it off: the price book."
            )
            yield Alert(name="bill", subject=found.model[:30], words=words)


def _can_call() -> bool:
    """Whether fal can reach us at all. A Limn on its maker's machine need not be told every day that it cannot."""
    return is_loopback(_host(settings.FAL_QUEUE_URL)) or not is_loopback(_host(settings.SITE_URL))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _is_too_many(part: int, whole: int, *, percent: int, least: int) -> bool:
    return whole >= least and part * 100 >= whole * percent


def _of(part: int, whole: int, what: str) -> str:
    return f"{part} of {whole} {what}."
