"""The ledger in the admin: read-only tables, and forms with which staff grant, adjust and refund credits."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from credits import ledger
from credits.models import CREDITS_MAX, Account, Entry, Hold
from credits.read_only_admin import ReadOnlyAdmin, has_permission, staff_actor

# One permission for all three forms: they all move a customer's credits.
PERMISSION = "credits.change_account"


class CreditsForm(forms.Form):
    """An amount and its reason. The nonce becomes the entry's idempotency key, so a second click writes nothing."""

    amount = forms.IntegerField(min_value=1, max_value=CREDITS_MAX)
    reason = forms.CharField(
        max_length=300,
        help_text="Kept in the ledger permanently and shown to the customer.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    nonce = forms.UUIDField(widget=forms.HiddenInput)


class AdjustForm(CreditsForm):
    amount = forms.IntegerField(
        min_value=-CREDITS_MAX,
        max_value=CREDITS_MAX,
        help_text="A negative amount takes credits away, but never those that open holds reserve.",
    )

    def clean_amount(self) -> int:
        if self.cleaned_data["amount"] == 0:
            raise forms.ValidationError("The amount of an adjustment cannot be 0.")
        return int(self.cleaned_data["amount"])


class LedgerAdmin(ReadOnlyAdmin):
    """Base of admins whose rows have forms for operations of the ledger, each on a page of its own."""

    operations: dict[str, tuple[str, type[CreditsForm]]] = {}
    """Name of the method that posts to the ledger → title and class of its form."""
    change_form_template = "admin/credits/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        operations = [
            path(
                f"<int:pk>/{operation}/",
                self.admin_site.admin_view(partial(self.operation_view, operation=operation)),
                name=f"{prefix}_{operation}",
            )
            for operation in self.operations
        ]
        # Before Django's own patterns, whose last one takes any path for the key of a row.
        return [*operations, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add a link to each operation for staff with the permission."""
        titles = {operation: title for operation, (title, _) in self.operations.items()}
        context = {**(extra_context or {}), "operations": titles if has_permission(request, PERMISSION) else {}}
        return super().change_view(request, object_id, form_url, context)

    def operation_view(self, request: HttpRequest, pk: int, operation: str) -> HttpResponse:
        """Show the form of an operation, and post to the ledger when it is submitted."""
        if not has_permission(request, PERMISSION):
            raise PermissionDenied(f"You do not have permission to {operation} credits.")
        row = get_object_or_404(self.model, pk=pk)
        title, form_class = self.operations[operation]
        # The nonce is made with the empty form, so every submission of this page carries the same one.
        form = form_class(request.POST or None, initial={"nonce": uuid4()})
        if request.method == "POST" and form.is_valid() and self._post(request, row, operation, form):
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", row.pk)
        context = self.admin_site.each_context(request)
        context |= {"title": f"{title}: {row}", "form": form, "row": row, "opts": self.opts, "operation": title}
        return render(request, "admin/credits/operation.html", context)

    def _post(self, request: HttpRequest, row: Any, operation: str, form: CreditsForm) -> bool:
        """Post to the ledger and to the admin's log. Returns False, with an error in the form, if refused."""
        amount, reason = form.cleaned_data["amount"], form.cleaned_data["reason"]
        key = f"admin:{form.cleaned_data['nonce']}"
        is_repeated = Entry.objects.filter(key=key).exists()
        try:
            # One transaction: credits never move without a line in the log that says who moved them.
            with transaction.atomic():
                entry: Entry = getattr(self, operation)(row, amount, key=key, actor=staff_actor(request), reason=reason)
                if not is_repeated:
                    self.log_change(request, row, f"{operation} {amount:+,} credits: {reason}")
        except (ledger.LedgerError, ValueError) as error:
            form.add_error("amount", str(error))
            return False
        summary = f"{entry.get_kind_display()} of {entry.balance_change:+,} credits: {entry.reason}"
        if is_repeated:
            messages.warning(request, f"This form was already submitted; nothing was changed again. {summary}")
        else:
            messages.success(request, summary)
        return True


@admin.register(Account)
class AccountAdmin(LedgerAdmin):
    list_display = ("user", "balance", "held", "available", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    ordering = ("-id",)
    fields = ("user", "balance", "held", "available", "entries", "created_at")
    operations = {"grant": ("Grant credits", CreditsForm), "adjust": ("Adjust the balance", AdjustForm)}

    @admin.display(description="available")
    def available(self, account: Account) -> int:
        return account.available

    @admin.display(description="entries")
    def entries(self, account: Account) -> str:
        url = f"{reverse('admin:credits_entry_changelist')}?account__id__exact={account.pk}"
        return format_html('<a href="{}">all entries of this account</a>', url)

    def grant(self, account: Account, amount: int, **details: str) -> Entry:
        return ledger.grant(account, amount, **details)

    def adjust(self, account: Account, amount: int, **details: str) -> Entry:
        return ledger.adjust(account, amount, **details)


@admin.register(Hold)
class HoldAdmin(LedgerAdmin):
    list_display = ("reference", "account", "amount", "captured", "released", "refunded", "opened_at", "settled_at")
    list_select_related = ("account__user",)
    list_filter = (("settled_at", admin.EmptyFieldListFilter),)
    search_fields = ("=reference", "account__user__username")
    ordering = ("-id",)
    operations = {"refund": ("Refund credits", CreditsForm)}

    def refund(self, hold: Hold, amount: int, **details: str) -> Entry:
        return ledger.refund(hold.reference, amount, **details)


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ("id", "created_at", "account", "kind", "balance_change", "held_change", "hold", "actor", "reason")
    list_select_related = ("account__user", "hold")
    list_filter = ("kind",)
    search_fields = ("account__user__username", "=hold__reference", "=key", "actor")
    ordering = ("-id",)
