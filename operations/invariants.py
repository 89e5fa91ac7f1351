"""The invariants: statements that are true after every commit (I1 to I8, I15), or when no work is pending (I11).

`manage.py check_invariants` and the chaos test call `always` and `at_rest`. Both only read, and with one query for each
statement, so 100,000 generations take seconds. The numbers are those of `docs/failure-modes.md`; the statements about
fal and about the storage are checked by the chaos test alone, which can ask them (`quality/chaos/final_checks.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice

from django.db import connection, transaction
from django.db.models import Case, CharField, Count, Exists, F, Func, OuterRef, Q, QuerySet, Sum, When
from django.db.models.functions import Now, TruncDate

from credits.audit import Finding, audit
from credits.models import Hold
from database import clock
from generations.models import (
    SPENDING,
    DailySpending,
    Event,
    Generation,
    KeySpending,
    Output,
    Phase,
    Status,
    Submission,
)
from notifications import outbox
from notifications.models import WebhookAttempt, WebhookDelivery

# Code that breaks a rule once breaks it often; the first few findings are enough.
SHOWN_MAX = 20
REFERENCES = "generation:"
ENDINGS = ("completed", "failed")


class ReferenceOf(Func):
    """The reference of the hold of a generation, as `Generation.reference` computes it in Python."""

    output_field = CharField()
    template = f"'{REFERENCES}' || CAST(%(expressions)s AS TEXT)"

    def as_sqlite(self, compiler, connection, **context):  # type: ignore[no-untyped-def]
        # SQLite stores a UUID as 32 hexadecimal digits, without hyphens.
        parts = " || '-' || ".join(
            f"substr(%(expressions)s, {start}, {length})"
            for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        )
        return self.as_sql(compiler, connection, template=f"'{REFERENCES}' || {parts}", **context)


@contextmanager
def snapshot() -> Iterator[None]:
    """Let the block read one consistent snapshot of the database."""
    # Inside a caller's transaction, the isolation level is the caller's choice. SQLite always reads from a snapshot.
    is_outermost = connection.vendor == "postgresql" and not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def always() -> list[Finding]:
    """Return the violations of the invariants that hold after every commit; at most SHOWN_MAX of each statement."""
    with snapshot():
        return [finding for rule in RULES for finding in rule()]


def at_rest() -> list[Finding]:
    """Return, as violations of I11, the work that is pending. Call it when there should be none, beside `always`."""
    with snapshot():
        pending: list[tuple[str, QuerySet[Generation] | QuerySet[Output] | QuerySet[Hold]]] = [
            ("is not done", Generation.objects.in_progress()),
            ("is leased", Generation.objects.filter(leased_until__gt=Now())),
            ("is not copied", Output.objects.filter(state=Output.State.PENDING)),
            ("is an open hold", Hold.objects.filter(settled_at=None, reference__startswith=REFERENCES)),
        ]
        return [finding for detail, rows in pending for finding in _findings("I11", rows, detail)]


# --- The statements -------------------------------------------------------------------------------------------------


def balances() -> list[Finding]:
    """Return the violations of I1, I2 and I4: balances agree with the entries of the ledger, which sum to zero."""
    return [Finding(rule=f"I1/{found.rule}", subject=found.subject, detail=found.detail) for found in audit().findings]


def holds() -> Iterator[Finding]:
    """Yield the violations of I3: each generation has one hold of its price, open until it ends, then settled."""
    matching = Hold.objects.filter(
        reference=OuterRef("hold_reference"),
        account=OuterRef("account"),
        amount=OuterRef("credits"),
        captured=OuterRef("captured"),
        released=OuterRef("released"),
    )
    is_held = Q(Exists(matching.filter(settled_at=None)), ~Q(phase=Phase.DONE))
    is_settled = Q(Exists(matching.filter(settled_at__isnull=False)), phase=Phase.DONE)
    generations = Generation.objects.annotate(hold_reference=ReferenceOf("id"))
    yield from _findings("I3", generations.exclude(is_held | is_settled), "has no hold that matches it")
    # With as many holds as generations, and one for each of these, no hold is without a generation.
    count, expected = Hold.objects.filter(reference__startswith=REFERENCES).count(), Generation.objects.count()
    if count != expected:
        yield Finding(rule="I3", subject="all", detail=f"{count} holds for {expected} generations")


def spending() -> Iterator[Finding]:
    """Yield the violations of I3: what counts as spent is the sum of what the generations hold or have cost."""
    generations = Generation.objects.order_by()
    by_day = generations.values_list("account_id", TruncDate("created_at")).annotate(spent=Sum(SPENDING))
    by_key = generations.exclude(api_key=None).values_list("api_key_id").annotate(spent=Sum(SPENDING))
    for name, expected, rows in (
        ("account and day", by_day, DailySpending.objects.values_list("account_id", "day", "credits")),
        ("API key", by_key, KeySpending.objects.values_list("api_key_id", "credits")),
    ):
        sums, kept = ({tuple(keys): spent for *keys, spent in found} for found in (expected, rows))
        wrong = (key for key in sums.keys() | kept.keys() if sums.get(key, 0) != kept.get(key, 0))
        for key in islice(wrong, SHOWN_MAX):
            detail = f"spent {sums.get(key, 0)}, and {kept.get(key, 0)} is kept"
            yield Finding(rule="I3", subject=f"{name} {' '.join(map(str, key))}", detail=detail)


def completed_generations() -> Iterator[Finding]:
    """Yield the violations of I5: a completed generation has a stored file that counts, and none still to copy."""
    outputs = Output.objects.filter(generation=OuterRef("pk"))
    # An erasure removes the files of a completed generation.
    completed = Generation.objects.filter(status=Status.COMPLETED, erased_at=None)
    delivered = Exists(outputs.filter(state=Output.State.STORED, counts=True))
    yield from _findings("I5", completed.exclude(delivered), "is completed without a file")
    pending = Exists(outputs.filter(state=Output.State.PENDING))
    yield from _findings("I5", completed.filter(pending), "is completed while a file is not copied")
    unverified = Output.objects.filter(Q(key="") | Q(sha256="") | Q(size_bytes=None), state=Output.State.STORED)
    yield from _findings("I5", unverified, "is stored without key, size or SHA-256")


def failed_generations() -> Iterator[Finding]:
    """Yield the violations of I6: a failed generation costs nothing."""
    charged = Generation.objects.filter(status=Status.FAILED).exclude(captured=0, released=F("credits"))
    yield from _findings("I6", charged, "failed and was charged")


def timelines() -> Iterator[Finding]:
    """Yield the violations of I7: the timeline has one end, which agrees with the row, and nothing after it."""
    done = Generation.objects.filter(phase=Phase.DONE)
    ends = Count("events", filter=Q(events__fact__in=ENDINGS))
    yield from _findings("I7", done.annotate(ends=ends).exclude(ends=1), "has not ended exactly once")
    # Only an erasure may follow the end. It raises the version by one.
    ended_at = F("version") - Case(When(erased_at=None, then=0), default=1)
    end = Event.objects.filter(generation=OuterRef("pk"), fact=OuterRef("status"), version=OuterRef("ended_at"))
    different = done.annotate(ended_at=ended_at).exclude(Exists(end))
    yield from _findings("I7", different, "has another status or version than its last event")
    any_end = Event.objects.filter(generation=OuterRef("pk"), fact__in=ENDINGS)
    yield from _findings("I7", Generation.objects.in_progress().filter(Exists(any_end)), "has ended and is in progress")


def submissions() -> Iterator[Finding]:
    """Yield the violations of I8: an accepted submission has a request id; a completed generation has one such."""
    accepted = Submission.objects.filter(state=Submission.State.ACCEPTED)
    yield from _findings("I8", accepted.filter(request_id=None), "is accepted without a request id")
    count = Count("submissions", filter=Q(submissions__state=Submission.State.ACCEPTED))
    several = Generation.objects.annotate(accepted_count=count).filter(accepted_count__gt=1)
    yield from _findings("I8", several, "has several accepted submissions")
    completed = Generation.objects.filter(status=Status.COMPLETED)
    without = completed.exclude(Exists(accepted.filter(generation=OuterRef("pk"))))
    yield from _findings("I8", without, "is completed without an accepted submission")


def deliveries() -> Iterator[Finding]:
    """Yield the violations of I15: each end is in the outbox, and what counts as delivered got a 2xx status.

    A constraint of the table ensures the third part: a pending delivery has a time for its next attempt.
    """
    written = WebhookDelivery.objects.filter(generation=OuterRef("pk"), endpoint=None)
    # Older deliveries have been deleted.
    recent = Generation.objects.filter(
        phase=Phase.DONE, finished_at__gt=clock.now() - outbox.RETENTION + timedelta(hours=1)
    )
    missing = recent.exclude(Exists(written) | Q(webhook_url=""))
    yield from _findings("I15", missing, "ended without a delivery to its webhook_url")
    accepted = WebhookAttempt.objects.filter(delivery=OuterRef("pk"), status__gte=200, status__lt=300)
    delivered = WebhookDelivery.objects.filter(state=WebhookDelivery.State.DELIVERED)
    yield from _findings("I15", delivered.exclude(Exists(accepted)), "is delivered without a 2xx response")


RULES: tuple[Callable[[], Iterable[Finding]], ...] = (
    balances,
    holds,
    spending,
    completed_generations,
    failed_generations,
    timelines,
    submissions,
    deliveries,
)


def _findings(
    rule: str,
    rows: QuerySet[Generation] | QuerySet[Output] | QuerySet[Hold] | QuerySet[Submission] | QuerySet[WebhookDelivery],
    detail: str,
) -> Iterator[Finding]:
    for key in islice(rows.order_by().values_list("pk", flat=True), SHOWN_MAX):
        yield Finding(rule=rule, subject=f"{rows.model.__name__} {key}", detail=detail)
