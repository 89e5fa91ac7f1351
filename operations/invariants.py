"""What must be true of the rows: at every committed moment (I1–I9), and when nothing is under way any more (I11).

Reads only, and in sets: a hundred thousand generations are some seconds' work. The numbers are those of the list that
the soak test works through; what fal and the bucket say about the same things is its part (soak/verdict.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice

from django.db import connection, transaction
from django.db.models import Case, CharField, Count, Exists, F, Func, OuterRef, Q, QuerySet, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone

from credits.audit import Finding, audit
from credits.models import Hold
from generations.models import Event, Generation, Output, Phase, Status, Submission
from notifications import outbox
from notifications.models import WebhookAttempt, WebhookDelivery

# Who breaks a rule once breaks it often; the first few say enough.
SHOWN_MAX = 20
REFERENCES = "generation:"
ENDINGS = ("completed", "failed")


class ReferenceOf(Func):
    """A generation's name in the ledger, made by the database: what `reference_of` makes in Python."""

    output_field = CharField()
    template = f"'{REFERENCES}' || CAST(%(expressions)s AS TEXT)"

    def as_sqlite(self, compiler, connection, **context):  # type: ignore[no-untyped-def]
        # SQLite keeps 32 hexadecimal digits; the hyphens are ours to add.
        parts = " || '-' || ".join(
            f"substr(%(expressions)s, {start}, {length})"
            for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        )
        return self.as_sql(compiler, connection, template=f"'{REFERENCES}' || {parts}", **context)


@contextmanager
def snapshot() -> Iterator[None]:
    """One consistent view of everything, for as long as the block lasts."""
    # Inside a caller's transaction the isolation is the caller's; SQLite's readers see a snapshot anyway.
    is_ours = connection.vendor == "postgresql" and not connection.in_atomic_block
    with transaction.atomic():
        if is_ours:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def always() -> list[Finding]:
    """What breaks a rule that holds at every moment."""
    with snapshot():
        return [
            *_books(),
            *_holds_of_generations(),
            *_completed_is_delivered(),
            *_failed_is_free(),
            *_ended_once(),
            *_attempts(),
            *_webhooks(),
        ]


def at_rest() -> list[Finding]:
    """What is still under way, when nothing should be. Beside `always`."""
    with snapshot():
        rows: list[tuple[str, QuerySet[Generation] | QuerySet[Output] | QuerySet[Hold]]] = [
            ("is not done", Generation.objects.in_progress()),
            ("is leased", Generation.objects.filter(leased_until__gt=Now())),
            ("is not copied", Output.objects.filter(state=Output.State.PENDING)),
            ("is an open hold", Hold.objects.filter(settled_at=None, reference__startswith=REFERENCES)),
        ]
        return [finding for detail, found in rows for finding in _findings("I11", found, detail)]


def _books() -> list[Finding]:
    """I1, I2, I4: balances are what the entries say, and everything adds up to zero."""
    return [Finding(rule=f"I1/{found.rule}", subject=found.subject, detail=found.detail) for found in audit().findings]


def _holds_of_generations() -> Iterator[Finding]:
    """I3: each generation has one hold of its price, open until it is done, and settled as the generation says."""
    fitting = Hold.objects.filter(
        reference=OuterRef("hold_reference"),
        account=OuterRef("account"),
        amount=OuterRef("credits"),
        captured=OuterRef("captured"),
        released=OuterRef("released"),
    )
    generations = Generation.objects.annotate(hold_reference=ReferenceOf("id"))
    fits = Q(Exists(fitting.filter(settled_at=None)), ~Q(phase=Phase.DONE)) | Q(
        Exists(fitting.filter(settled_at__isnull=False)), phase=Phase.DONE
    )
    yield from _findings("I3", generations.exclude(fits), "has no hold that fits")
    holds, all_generations = Hold.objects.filter(reference__startswith=REFERENCES).count(), Generation.objects.count()
    if holds != all_generations:
        yield Finding(rule="I3", subject="all", detail=f"{holds} holds for {all_generations} generations")


def _completed_is_delivered() -> Iterator[Finding]:
    """I5: completed means that a paid file lies in storage, and that none is still on its way."""
    outputs = Output.objects.filter(generation=OuterRef("pk"))
    completed = Generation.objects.filter(status=Status.COMPLETED, erased_at=None)
    delivered = Exists(outputs.filter(state=Output.State.STORED, counts=True))
    yield from _findings("I5", completed.exclude(delivered), "is completed without a file")
    pending = Exists(outputs.filter(state=Output.State.PENDING))
    yield from _findings("I5", completed.filter(pending), "is completed while a file is on its way")
    unverified = Output.objects.filter(Q(key="") | Q(sha256="") | Q(size_bytes=None), state=Output.State.STORED)
    yield from _findings("I5", unverified, "is stored without key, size or SHA-256")


def _failed_is_free() -> Iterator[Finding]:
    """I6: who gets nothing pays nothing."""
    charged = Generation.objects.filter(status=Status.FAILED).exclude(captured=0, released=F("credits"))
    yield from _findings("I6", charged, "failed and was charged")


def _ended_once() -> Iterator[Finding]:
    """I7: the timeline tells one end, the same as the row, and nothing was written after it."""
    ends = Count("events", filter=Q(events__fact__in=ENDINGS))
    yield from _findings("I7", _done().annotate(ends=ends).exclude(ends=1), "has not ended exactly once")
    # Only an erasure comes after the end, and is a version of its own.
    ended_at = F("version") - Case(When(erased_at=None, then=0), default=1)
    told = Event.objects.filter(generation=OuterRef("pk"), fact=OuterRef("status"), version=OuterRef("ended_at"))
    yield from _findings("I7", _done().annotate(ended_at=ended_at).exclude(Exists(told)), "is not as its timeline ends")
    early = Generation.objects.in_progress().filter(Exists(Event.objects.filter(_ending_of(OuterRef("pk")))))
    yield from _findings("I7", early, "has ended and goes on")


def _attempts() -> Iterator[Finding]:
    """I8: an accepted attempt has a request id; of one generation at most one is accepted; paid is what was asked."""
    accepted = Submission.objects.filter(state=Submission.State.ACCEPTED)
    yield from _findings("I8", accepted.filter(request_id=None), "is accepted without a request id")
    several = Count("submissions", filter=Q(submissions__state=Submission.State.ACCEPTED))
    yield from _findings("I8", Generation.objects.annotate(served=several).filter(served__gt=1), "is served twice")
    unserved = Generation.objects.filter(status=Status.COMPLETED).exclude(
        Exists(accepted.filter(generation=OuterRef("pk")))
    )
    yield from _findings("I8", unserved, "is completed and was never accepted")


def _webhooks() -> Iterator[Finding]:
    """I15: whoever is to be told is told, or given up where it shows. That what waits is due, a constraint says."""
    told = WebhookDelivery.objects.filter(generation=OuterRef("pk"), endpoint=None)
    # What is older has been cleared away.
    lately = _done().filter(finished_at__gt=timezone.now() - outbox.RETENTION + timedelta(hours=1))
    yield from _findings("I15", lately.exclude(Exists(told) | Q(webhook_url="")), "ended and its address is not told")
    taken = WebhookAttempt.objects.filter(delivery=OuterRef("pk"), status__gte=200, status__lt=300)
    delivered = WebhookDelivery.objects.filter(state=WebhookDelivery.State.DELIVERED)
    yield from _findings("I15", delivered.exclude(Exists(taken)), "is delivered and nobody took it")


def _done() -> QuerySet[Generation]:
    return Generation.objects.filter(phase=Phase.DONE)


def _ending_of(generation: Combinable) -> Q:
    return Q(generation=generation, fact__in=ENDINGS)


def _findings(
    rule: str,
    rows: QuerySet[Generation] | QuerySet[Output] | QuerySet[Hold] | QuerySet[Submission] | QuerySet[WebhookDelivery],
    detail: str,
) -> Iterator[Finding]:
    for key in islice(rows.order_by().values_list("pk", flat=True), SHOWN_MAX):
        yield Finding(rule=rule, subject=f"{rows.model.__name__} {key}", detail=detail)
