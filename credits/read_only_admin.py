"""Base classes of the admin for tables that only code writes: staff see every column, and add, change or delete
nothing. All apps use them. Admin actions stay possible: they check a permission and call the module that owns the rows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

# Counting a million rows takes longer than showing fifty. Older rows are found by searching, not by paging.
ROWS_COUNTED_MAX = 10_000
# A search by a part of a name shows the rows of this many accounts.
ACCOUNTS_SEARCHED_MAX = 20


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # Django's class takes no parameter when it runs
    """A paginator that counts, and so shows, at most ROWS_COUNTED_MAX rows."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        return rows[:ROWS_COUNTED_MAX].count() if isinstance(rows, QuerySet) else len(rows)


class _ReadOnly(BaseModelAdmin[Any]):
    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        excluded = self.exclude or ()
        return self.fields or [field.name for field in self.opts.concrete_fields if field.name not in excluded]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # Django shows a field with `editable=False` only if it is named here.
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(_ReadOnly, admin.ModelAdmin[Any]):
    """An admin of a table that staff can read and search. Subclasses may add actions."""

    paginator = BoundedPaginator
    # These would count the whole table on each page.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by keys (the fields with "=") one after another, and in texts only for what is none of them.

        Indexes find keys. Django would compare every key without its case, and join the names of all accounts.
        """
        # Keys are pasted from mails and logs, often with a space.
        term = search_term.strip()
        if not term:
            return queryset, False
        in_texts = Q()
        for name in map(str, self.get_search_fields(request)):
            relation, _, path = name.partition("__")
            if name.startswith("="):
                # A text that is no UUID is no key of a table whose keys are UUIDs.
                with suppress(ValidationError):
                    if (with_key := queryset.filter(**{name[1:]: term})).exists():
                        return with_key, False
            elif relation == "account":
                accounts = self.model._meta.get_field(relation).remote_field.model._default_manager
                found = accounts.filter(**{f"{path}__icontains": term}).values_list("pk", flat=True)
                in_texts |= Q(account__in=list(found[:ACCOUNTS_SEARCHED_MAX]))
            else:
                in_texts |= Q(**{f"{name}__icontains": term})
        return (queryset.filter(in_texts) if in_texts else queryset.none()), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Answer 403 for an action without its permission. Django would say "No action selected"."""
        action = request.POST.get("action")
        if action and action not in self.get_actions(request):
            raise PermissionDenied(f"You do not have permission to use {action}.")
        return super().changelist_view(request, extra_context)


class ReadOnlyInline(_ReadOnly, admin.TabularInline[Any, Any]):
    """The rows of a related table, read-only, on the page of a row."""

    extra = 0
    can_delete = False
    show_change_link = False


def staff_actor(request: HttpRequest) -> str:
    """Return the name under which ledger entries and events record this member of staff."""
    return f"staff:{request.user.get_username()}"


def has_permission(request: HttpRequest, permission: str) -> bool:
    """Return whether the user has a permission, such as `credits.change_account`.

    No row of these tables can be edited in a form, so the `change_…` permission of a table allows its actions.
    """
    return bool(request.user.has_perm(permission))
