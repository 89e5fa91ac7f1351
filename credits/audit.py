"""Compares the cached balances and holds with the entries of the ledger.

`manage.py audit_ledger` prints the result, and `operations.invariants` includes its findings. The audit only
reads, and sees one consistent snapshot, so concurrent entries cause no findings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import connection, transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from credits.models import Account, Entry, Hold


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A broken rule: which rule, of which row, and what is wrong."""

    rule: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}: {self.detail}"


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The result of one audit."""

    accounts: int
    holds: int
    entries: int
    sums: dict[str, int]
    """Credits that the customers, the treasury and revenue have received. In a sound ledger they sum to zero."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.findings


def audit() -> Audit:
    """Check every rule of the ledger on one consistent snapshot."""
    # A transaction on SQLite always reads from a snapshot. PostgreSQL must be asked for one by the first statement of a
    # transaction; inside a caller's transaction it is too late, and the isolation level is the caller's choice.
    snapshot_needed = connection.vendor == "postgresql" and not connection.in_atomic_block
    with transaction.atomic():
        if snapshot_needed:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        sides = dict(Entry.objects.values_list("counter_side").annotate(total=Sum("balance_change")))
        # The customers' side is taken from the cached balances, so it also shows a balance that no entry explains.
        customers = Account.objects.aggregate(total=Coalesce(Sum("balance"), 0))["total"]
        sums = {"customers": customers, "treasury": -sides.get("treasury", 0), "revenue": -sides.get("revenue", 0)}
        findings = [*find_wrong_balances(), *find_wrong_held_sums(), *find_wrong_settlements()]
        if total := sum(sums.values()):
            findings.append(Finding(rule="zero-sum", subject="all sides", detail=f"they sum to {total}"))
        return Audit(
            accounts=Account.objects.count(),
            holds=Hold.objects.count(),
            entries=Entry.objects.count(),
            sums=sums,
            findings=findings,
        )


def find_wrong_balances() -> list[Finding]:
    """Find accounts whose `balance` or `held` differs from the sum of their entries."""
    accounts = Account.objects.annotate(
        balance_posted=Coalesce(Sum("entries__balance_change"), 0), held_posted=Coalesce(Sum("entries__held_change"), 0)
    )
    wrong = accounts.exclude(balance=F("balance_posted"), held=F("held_posted")).select_related("user")
    return [
        Finding(
            rule="balance",
            subject=str(account),
            detail=f"has {account.balance}/{account.held}, entries say {account.balance_posted}/{account.held_posted}",
        )
        for account in wrong
    ]


def find_wrong_held_sums() -> list[Finding]:
    """Find accounts whose `held` differs from the sum of their open holds."""
    accounts = Account.objects.annotate(open_holds=Coalesce(Sum("holds__amount", filter=Q(holds__settled_at=None)), 0))
    return [
        Finding(rule="holds", subject=str(account), detail=f"held {account.held}, open holds say {account.open_holds}")
        for account in accounts.exclude(held=F("open_holds")).select_related("user")
    ]


def find_wrong_settlements() -> list[Finding]:
    """Find holds whose entries do not match their columns: opened once, settled at most once, amounts that agree."""
    holds = Hold.objects.annotate(
        openings=Count("entries", filter=Q(entries__kind="hold")),
        settlements=Count("entries", filter=Q(entries__kind__in=Entry.SETTLING)),
        postings=Count("entries"),
        postings_to_account=Count("entries", filter=Q(entries__account=F("account"))),
        held_by_opening=_sum_posted("held_change", Q(entries__kind="hold")),
        still_held=_sum_posted("held_change"),
        balance_taken=_sum_posted("balance_change", Q(entries__kind__in=Entry.SETTLING)),
        balance_returned=_sum_posted("balance_change", Q(entries__kind="refund")),
    )
    # All entries belong to the hold's own account, and an open hold has no settlement while a settled one has one.
    is_open = Q(settled_at=None, settlements=0, still_held=F("amount"))
    is_settled = Q(settled_at__isnull=False, settlements=1, still_held=0)
    amounts_agree = Q(held_by_opening=F("amount"), balance_taken=-F("captured"), balance_returned=F("refunded"))
    wrong = holds.exclude(Q(openings=1, postings_to_account=F("postings")) & (is_open | is_settled) & amounts_agree)
    return [
        Finding(
            rule="settlement",
            subject=str(hold),
            detail=f"{hold.openings} openings, {hold.settlements} settlements, took {-hold.balance_taken}"
            f" of {hold.held_by_opening}, refunded {hold.balance_returned}",
        )
        for hold in wrong
    ]


def _sum_posted(column: str, condition: Q | None = None) -> Coalesce:
    return Coalesce(Sum(f"entries__{column}", filter=condition), 0)
