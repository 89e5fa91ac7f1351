"""Proves that the balances are what the entries say. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import connection, transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from credits.models import Account, Entry, Hold


@dataclass(frozen=True, kw_only=True)
class Finding:
    rule: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}: {self.detail}"


@dataclass(frozen=True, kw_only=True)
class Audit:
    accounts: int
    holds: int
    entries: int
    sums: dict[str, int]
    """What each side has received: customers, treasury and revenue. They add up to zero."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.findings


def audit() -> Audit:
    """Check every rule on one consistent snapshot."""
    # Inside a caller's transaction the isolation is the caller's; SQLite's readers see a snapshot anyway.
    snapshot_needed = connection.vendor == "postgresql" and not connection.in_atomic_block
    with transaction.atomic():
        if snapshot_needed:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return _audit()


def _audit() -> Audit:
    sums = _sums()
    return Audit(
        accounts=Account.objects.count(),
        holds=Hold.objects.count(),
        entries=Entry.objects.count(),
        sums=sums,
        findings=[*_drifted_balances(), *_drifted_holds(), *_badly_settled(), *_unbalanced(sums)],
    )


def _sums() -> dict[str, int]:
    sides = dict(Entry.objects.values_list("counter_side").annotate(total=Sum("balance_change")))
    customers = Account.objects.aggregate(total=Coalesce(Sum("balance"), 0))["total"]
    return {"customers": customers, "treasury": -sides.get("treasury", 0), "revenue": -sides.get("revenue", 0)}


def _unbalanced(sums: dict[str, int]) -> list[Finding]:
    total = sum(sums.values())
    return [Finding(rule="zero-sum", subject="all sides", detail=f"they add up to {total}")] if total else []


def _drifted_balances() -> list[Finding]:
    posted = Account.objects.annotate(
        balance_posted=Coalesce(Sum("entries__balance_change"), 0), held_posted=Coalesce(Sum("entries__held_change"), 0)
    )
    wrong = posted.exclude(balance=F("balance_posted"), held=F("held_posted")).select_related("user")
    return [
        Finding(
            rule="balance",
            subject=str(account),
            detail=f"has {account.balance}/{account.held}, entries say {account.balance_posted}/{account.held_posted}",
        )
        for account in wrong
    ]


def _drifted_holds() -> list[Finding]:
    accounts = Account.objects.annotate(open_holds=Coalesce(Sum("holds__amount", filter=Q(holds__settled_at=None)), 0))
    return [
        Finding(rule="holds", subject=str(account), detail=f"held {account.held}, open holds say {account.open_holds}")
        for account in accounts.exclude(held=F("open_holds")).select_related("user")
    ]


def _badly_settled() -> list[Finding]:
    holds = Hold.objects.annotate(
        openings=Count("entries", filter=Q(entries__kind="hold")),
        settlements=Count("entries", filter=Q(entries__kind__in=Entry.SETTLING)),
        postings=Count("entries"),
        own_postings=Count("entries", filter=Q(entries__account=F("account"))),
        aside=_posted("held_change", Q(entries__kind="hold")),
        still_aside=_posted("held_change"),
        taken=_posted("balance_change", Q(entries__kind__in=Entry.SETTLING)),
        returned=_posted("balance_change", Q(entries__kind="refund")),
    )
    is_open = Q(settled_at=None, settlements=0, still_aside=F("amount"))
    is_settled = Q(settled_at__isnull=False, settlements=1, still_aside=0)
    sums = Q(aside=F("amount"), taken=-F("captured"), returned=F("refunded"))
    wrong = holds.exclude(Q(openings=1, own_postings=F("postings")) & (is_open | is_settled) & sums)
    return [
        Finding(
            rule="settlement",
            subject=str(hold),
            detail=f"{hold.openings} openings, {hold.settlements} settlements, took {-hold.taken}"
            f" of {hold.aside}, gave {hold.returned} back",
        )
        for hold in wrong
    ]


def _posted(change: str, which: Q | None = None) -> Coalesce:
    return Coalesce(Sum(f"entries__{change}", filter=which), 0)
