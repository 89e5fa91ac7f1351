"""The conditions that raise an alert. `alerts.evaluate` asks for all that are met now, twice a minute.

    spending   an account spends far more in an hour than it usually does
    failures   too many generations fail, of one model or in total
    internal_errors
               an error of Limn has ended generations: their customers were told that the operator knows
    callbacks  fal's verdicts are found by polling, because its callbacks do not arrive
    bill       fal counts more units for a model than its list price assumes
    breaker    fal rejects the API key or the account
    files      the storage holds files that no row names, or lacks files that a row names
    orphans    fal sends callbacks for no submission of this installation
    ambiguous, contradicted, disputed, surplus
               something has happened that an operator must know of: see INCIDENT_TEXTS
    stuck      a generation cannot be processed, and has not ended

`docs/operations.md` lists them for operators; the thresholds below are explained where they stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Count, F, Max, Q, Sum
from django.db.models.functions import TruncHour

from credits.models import Account
from database import clock
from database.ids import first_id
from generations.models import INCIDENTS, SPENDING, Event, Generation, Heartbeat, Phase, ProviderCallback, StorageReport
from generations.provider import circuit_breaker
from generations.safe_http.addresses import is_loopback
from operations import statistics
from operations.statistics import EndedGeneration

# Spending is unusual from this multiple of the busiest hour of the preceding week on, and only if it is at least
# ALERT_SPENDING_CREDITS: small sums vary without a reason.
TIMES_THE_BUSIEST_HOUR = 4
WEEK = timedelta(days=7)
ACCOUNTS_MAX = 20
# A fifth of all generations may fail, and half of those of one model, because a single model may be out of order for a
# while. Fewer generations than these minimums prove nothing.
FAILED_PERCENT, GENERATIONS_MIN = 20, 20
FAILED_PERCENT_OF_MODEL, GENERATIONS_OF_MODEL_MIN = 50, 10
# Single callbacks are lost now and then, and polling finds those verdicts within seconds. Half of them is a fault.
CALLBACK_PERCENT_MIN, VERDICTS_MIN = 50, 20
# List prices are rounded to whole credits, which explains less than a tenth. One generation may be an exception.
BILL_PERCENT_MAX, GENERATIONS_BILLED_MIN = 10, 3
# The heartbeat of the evaluation. An incident that happened while no process evaluated is reported afterwards.
EVALUATION = "alert_evaluation"
LOOK_BACK_MAX = timedelta(days=1)
# The longest that a file is tried is a week; the rest is for an outage of Limn. It bounds what the query reads.
STUCK_MAX = timedelta(days=30)

TITLES = {
    "spending": "unusual spending",
    "failures": "many failures",
    "internal_errors": "errors of Limn ended generations",
    "callbacks": "callbacks do not arrive",
    "bill": "fal bills more than the list price",
    "breaker": "fal rejects the key or the account",
    "files": "the storage and the database differ",
    "orphans": "callbacks for no submission",
    "ambiguous": "lost submissions that cannot be identified",
    "contradicted": "fal contradicts itself",
    "disputed": "fal named one request for two orders",
    "surplus": "jobs of fal that the operator pays",
    "stuck": "generations that cannot be processed",
}


# What to do about each kind of incident.
INCIDENT_TEXTS = {
    "ambiguous": "The answers to {count} submissions were lost, and fal has jobs that may be theirs. Without a "
    "callback they fail at their deadline, and fal bills a job that delivers to no one.",
    "contradicted": "fal reported something else about {count} generations than before. Its first report counts. "
    "Compare its bill: manage.py reconcile_bill.",
    "disputed": "For {count} orders, fal named a request that another order has. They are not submitted again. Without "
    "a callback they fail at their deadline. Report the request ids to fal.",
    "surplus": "fal has {count} jobs that no customer pays: a second one for an order, or one whose result came after "
    "Limn had given it up. Limn asks fal to cancel second ones; manage.py reconcile_bill shows what fal bills.",
    "stuck": "{count} generations cannot be processed for long, or killed five workers in a row. The log says why. The "
    "alert lasts until they have ended.",
}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A condition that is met now."""

    name: str
    """A key of TITLES."""
    subject: str = ""
    """What it concerns: the slug of a model, or an account. Empty if it concerns all."""
    text: str = ""
    """The figures, for the log and the e-mail."""

    @property
    def title(self) -> str:
        return f"{TITLES[self.name]}: {self.subject}" if self.subject else TITLES[self.name]


def active() -> Iterator[Alert]:
    """Yield an alert for every condition that is met now."""
    ended = statistics.ended_generations()
    yield from spending()
    yield from failures(ended)
    yield from internal_errors(ended)
    yield from callbacks(ended)
    yield from bill()
    if circuit_breaker.is_open():
        text = "fal rejects the API key or the account, so no orders are accepted. Check the key and the balance."
        yield Alert(name="breaker", text=text)
    yield from files()
    yield from incidents()


def incidents() -> Iterator[Alert]:
    """Yield an alert for each kind of incident since `_looks_back_to`, for orphan callbacks, and for what is stuck."""
    since = _looks_back_to()
    for fact in INCIDENTS:
        found = Event.objects.filter(fact=fact, created_at__gt=since)
        if fact == "stuck":
            # Written once for a generation, which then remains stuck until it ends. PostgreSQL reads the unfinished
            # generations or these events, whichever are fewer.
            reported = Event.objects.filter(fact=fact, created_at__gt=clock.now() - STUCK_MAX)
            found = reported.exclude(generation__phase=Phase.DONE)
        counted = found.aggregate(count=Count("id"), last=Max("id"))
        if counted["count"]:
            last = Event.objects.get(pk=counted["last"]).generation_id
            text = f"{INCIDENT_TEXTS[fact].format(count=counted['count'])} The last is generation {last}."
            yield Alert(name=fact, text=text)
    orphans = ProviderCallback.objects.filter(outcome=ProviderCallback.Outcome.ORPHAN, received_at__gt=since)
    if count := orphans.count():
        text = (
            f"{count} callbacks since {since:%Y-%m-%d %H:%M} UTC belong to no submission of this installation. Another "
            "program may use its address, or the database was restored from a dump: then fal bills jobs that deliver "
            "to no one."
        )
        yield Alert(name="orphans", text=text)


def _looks_back_to() -> datetime:
    """Return the moment since when incidents are reported: an hour before the last evaluation, at most a day ago."""
    now, last = clock.now(), Heartbeat.objects.filter(name=EVALUATION).first()
    return max((last.seen_at if last else now) - statistics.HOUR, now - LOOK_BACK_MAX)


def spending() -> Iterator[Alert]:
    """Yield an alert for each account that spent ALERT_SPENDING_CREDITS within the last hour, and far more than usual.

    Open holds count in full; generations that have ended count with what was captured.
    """
    minimum, hour_ago = settings.ALERT_SPENDING_CREDITS, clock.now() - statistics.HOUR
    if not minimum:
        # 0 switches the rule off.
        return
    last_hour = Generation.objects.filter(pk__gte=first_id(hour_ago)).order_by()
    # By an expression of the key: to group by the key itself, SQLite would read an index of all generations.
    spenders = last_hour.values_list(F("account") + 0).annotate(spent=Sum(SPENDING)).filter(spent__gte=minimum)
    for account_id, spent in spenders.order_by("-spent")[:ACCOUNTS_MAX]:
        # One query for each, but only for the few accounts above the minimum.
        week_before = Generation.objects.filter(
            account=account_id, pk__gte=first_id(hour_ago - WEEK), pk__lt=first_id(hour_ago)
        )
        hours = week_before.order_by().annotate(hour=TruncHour("created_at")).values("hour")
        busiest = hours.annotate(spent=Sum(SPENDING)).aggregate(most=Max("spent"))["most"] or 0
        if spent >= TIMES_THE_BUSIEST_HOUR * busiest:
            account = Account.objects.select_related("user").get(pk=account_id)
            text = f"{account} spent {spent} credits within an hour; in the week before, at most {busiest} an hour."
            yield Alert(name="spending", subject=f"account {account_id}", text=text)


def failures(ended: Sequence[EndedGeneration]) -> Iterator[Alert]:
    """Yield an alert for too many failures within the last hour: among all generations, and for each model."""
    failed = Counter(generation.model for generation in ended if generation.is_failure)
    if _exceeds(failed.total(), len(ended), percent=FAILED_PERCENT, minimum=GENERATIONS_MIN):
        text = f"{failed.total()} of {len(ended)} generations that ended within the last hour failed."
        yield Alert(name="failures", text=text)
    for model, count in sorted(Counter(generation.model for generation in ended).items()):
        if _exceeds(failed[model], count, percent=FAILED_PERCENT_OF_MODEL, minimum=GENERATIONS_OF_MODEL_MIN):
            text = f"{failed[model]} of {count} generations of {model} that ended within the last hour failed."
            yield Alert(name="failures", subject=model[:30], text=text)


def internal_errors(ended: Sequence[EndedGeneration]) -> Iterator[Alert]:
    """Yield an alert if an error of Limn has ended a generation within the last hour."""
    if count := sum(generation.is_internal_error for generation in ended):
        text = f"{count} generations ended with internal_error within the last hour, uncharged. The log says why."
        yield Alert(name="internal_errors", text=text)


def callbacks(ended: Sequence[EndedGeneration]) -> Iterator[Alert]:
    """Yield an alert for too many verdicts of the last hour that were found by polling."""
    queue_host, site_host = (urlsplit(url).hostname or "" for url in (settings.FAL_QUEUE_URL, settings.SITE_URL))
    if is_loopback(site_host) and not is_loopback(queue_host):
        # fal cannot reach a Limn on a developer's machine, and that is no fault. The simulator can.
        return
    verdicts = [generation.by_callback for generation in ended if generation.by_callback is not None]
    polled = verdicts.count(False)
    if _exceeds(polled, len(verdicts), percent=100 - CALLBACK_PERCENT_MIN, minimum=VERDICTS_MIN):
        yield Alert(name="callbacks", text=f"{polled} of {len(verdicts)} verdicts of fal were found by polling.")


def bill() -> Iterator[Alert]:
    """Yield an alert for each model for which fal counted more units within a day than its list price assumes."""
    for found in statistics.counted_units():
        too_much = found.counted_credits * 100 > found.listed_credits * (100 + BILL_PERCENT_MAX)
        if too_much and found.generations >= GENERATIONS_BILLED_MIN:
            text = (
                f"For {found.generations} generations of {found.model} within a day, fal counted units worth "
                f"{found.counted_credits:.0f} credits at list price; the catalogue expected {found.listed_credits}. "
                "manage.py reconcile_bill shows which. The price book changes the price or withdraws the model."
            )
            yield Alert(name="bill", subject=found.model[:30], text=text)


def files() -> Iterator[Alert]:
    """Yield an alert if the last pass of the storage cleaner found unknown or missing files."""
    for report in StorageReport.objects.filter(Q(unknown_files__gt=0) | Q(missing_files__gt=0)):
        text = (
            f"{report.unknown_files} files in the storage are named by no row, and {report.missing_files} stored files "
            "are missing. Unknown files may belong to another Limn in the same bucket, or to a newer state of a "
            "database that was restored from a dump. They are not deleted; manage.py unknown_files lists them."
        )
        yield Alert(name="files", text=text)


def _exceeds(part: int, whole: int, *, percent: int, minimum: int) -> bool:
    return whole >= minimum and part * 100 >= whole * percent
