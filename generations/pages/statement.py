"""The statement of the user's credits, and the public page of the charging rules.

The statement lists ledger entries, newest first, each with the credits that were available after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from credits.models import Account, Entry
from generations.http import pagination
from generations.http.login_required import UserRequest, login_required
from generations.lifecycle import charging_rules
from generations.models import Generation
from generations.pages import labels

LINES_PER_PAGE = 50


@dataclass(frozen=True, kw_only=True)
class Line:
    """One ledger entry of the statement."""

    entry: Entry
    text: str
    generation: Generation | None
    """The generation that the entry is about, if it is about one that the user may see."""

    @property
    def subject(self) -> str:
        """The model of the generation, or the reason that staff gave."""
        return labels.model_title(self.generation) if self.generation else self.entry.reason

    @property
    def held_change(self) -> str:
        return labels.signed(self.entry.held_change)

    @property
    def balance_change(self) -> str:
        return labels.signed(self.entry.balance_change)


@require_safe
@login_required
def statement(request: UserRequest) -> HttpResponse:
    account = Account.objects.for_user(request.user)
    entries = account.entries.select_related("hold")
    page = pagination.newest(entries, before=request.GET.get("before"), size=LINES_PER_PAGE)
    lines = statement_lines(page.rows, Generation.objects.visible_to(request.user))
    return render(request, "pages/statement.html", {"account": account, "page": page, "lines": lines})


def statement_lines(entries: Sequence[Entry], visible: QuerySet[Generation]) -> list[Line]:
    """Return the statement for these entries. One query, however many entries."""
    ids = [_generation_id(entry) for entry in entries]
    # Through the visible generations only: the statement must not reveal one that the user may not open.
    generations = visible.in_bulk([generation_id for generation_id in ids if generation_id])
    return [
        Line(entry=entry, text=labels.entry_text(entry), generation=generations.get(key) if key else None)
        for entry, key in zip(entries, ids, strict=True)
    ]


def _generation_id(entry: Entry) -> UUID | None:
    """Return the generation that the entry's hold refers to.

    The ledger does not interpret references; this is its reader.
    """
    kind, _, generation_id = entry.hold.reference.partition(":") if entry.hold else ("", "", "")
    try:
        return UUID(generation_id) if kind == "generation" else None
    except ValueError:
        return None


@require_safe
def rules(request: HttpRequest) -> HttpResponse:
    """Render the charging rules. Public, since people may read them before they become customers."""
    clauses = [(labels.RULES[rule], clause) for rule, clause in charging_rules.TABLE.items()]
    return render(request, "pages/charging_rules.html", {"clauses": clauses})
