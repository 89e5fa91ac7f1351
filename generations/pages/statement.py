"""The statement: every credit that came, was set aside, and went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from credits.models import Account, Entry
from generations.http import pagination
from generations.http.login_required import UserRequest, login_required
from generations.lifecycle import charging_rules
from generations.models import Generation
from generations.pages import labels


@dataclass(frozen=True, kw_only=True)
class Line:
    """An entry, and what was available after it."""

    entry: Entry
    words: str
    generation: Generation | None
    available: int

    @property
    def subject(self) -> str:
        """What it was for: an order, or a reason that somebody gave."""
        return labels.title_of(self.generation) if self.generation else self.entry.reason

    @property
    def held(self) -> str:
        return labels.signed(self.entry.held_change)

    @property
    def balance(self) -> str:
        return labels.signed(self.entry.balance_change)


@require_safe
@login_required
def statement(request: UserRequest) -> HttpResponse:
    account = Account.objects.for_user(request.user)
    page = pagination.newest(account.entries.select_related("hold"), before=request.GET.get("before"), size=50)
    lines = _lines(account, page.rows, Generation.objects.visible_to(request.user))
    return render(request, "pages/statement.html", {"account": account, "page": page, "lines": list(lines)})


def _lines(account: Account, entries: list[Entry], visible: QuerySet[Generation]) -> Iterator[Line]:
    named = visible.in_bulk(list(filter(None, map(_generation_id, entries))))
    available = _available_after(account, entries[0]) if entries else 0
    for entry in entries:
        generation_id = _generation_id(entry)
        yield Line(
            entry=entry,
            words=labels.posted(entry),
            generation=named.get(generation_id) if generation_id else None,
            available=available,
        )
        available -= entry.balance_change - entry.held_change


def _available_after(account: Account, entry: Entry) -> int:
    """Counted back from today's, so that the page need not add up all entries since the first."""
    later = account.entries.filter(pk__gt=entry.pk).aggregate(change=Sum(F("balance_change") - F("held_change")))
    return account.available - (later["change"] or 0)


def _generation_id(entry: Entry) -> UUID | None:
    """The ledger knows references, not things; ours are "generation:<uuid>"."""
    kind, _, name = entry.hold.reference.partition(":") if entry.hold else ("", "", "")
    try:
        return UUID(name) if kind == "generation" else None
    except ValueError:
        return None


@require_safe
def charges(request: HttpRequest) -> HttpResponse:
    """The rule table. Whoever thinks about an account may read it."""
    clauses = [(rule.label, clause) for rule, clause in charging_rules.TABLE.items()]
    return render(request, "pages/charging_rules.html", {"clauses": clauses})
