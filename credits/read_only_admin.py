"""How the admin shows rows that only code may write: everything to see, nothing to add, change or delete."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

# Counting a million rows takes longer than showing fifty. Who looks for an older row searches for it.
ROWS_COUNTED_MAX = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # Django's class takes no parameter when it runs
    @cached_property
    def count(self) -> int:
        rows = self.object_list
        return rows[:ROWS_COUNTED_MAX].count() if isinstance(rows, QuerySet) else len(rows)


class _NothingToWrite(BaseModelAdmin[Any]):
    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        hidden = self.exclude or ()
        return self.fields or [field.name for field in self.opts.concrete_fields if field.name not in hidden]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # What Django holds for not editable is shown only when it is named here.
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(_NothingToWrite, admin.ModelAdmin[Any]):
    """Actions remain possible; they name the permission they need, and ask another module to act."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        wanted = request.POST.get("action")
        # Django would leave out what is not permitted and say "no action selected".
        if wanted and wanted not in self.get_actions(request):
            raise PermissionDenied(f"You may not use {wanted}.")
        return super().changelist_view(request, extra_context)


class ReadOnlyInline(_NothingToWrite, admin.TabularInline[Any, Any]):
    extra = 0
    can_delete = False
    show_change_link = False


def staff_actor(request: HttpRequest) -> str:
    """How ledger and timeline name who acted."""
    return f"staff:{request.user.get_username()}"


def has_permission(request: HttpRequest, permission: str) -> bool:
    # `change_…` is granted to act on a row; nobody edits one.
    return bool(request.user.has_perm(permission))
