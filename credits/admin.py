"""The ledger in the admin: to look at, and three forms through which staff give and take credits."""

from __future__ import annotations

from collections.abc import Callable
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
from credits.looking import LookOnlyAdmin, may, staff
from credits.models import CREDITS_MAX, Account, Entry, Hold

PERMISSION = "credits.change_account"


class MoneyForm(forms.Form):
    """How many credits, and why. The nonce makes a second click the same posting."""

    amount = forms.IntegerField(min_value=1, max_value=CREDITS_MAX)
    reason = forms.CharField(
        max_length=300,
        help_text="Kept in the ledger for good, and shown to the customer.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    nonce = forms.UUIDField(widget=forms.HiddenInput)


class AdjustForm(MoneyForm):
    amount = forms.IntegerField(
        min_value=-CREDITS_MAX, max_value=CREDITS_MAX, help_text="Negative takes away, never what is held."
    )

    def clean_amount(self) -> int:
        if self.cleaned_data["amount"] == 0:
            raise forms.ValidationError("An adjustment changes something.")
        return int(self.cleaned_data["amount"])


class MoneyAdmin(LookOnlyAdmin):
    """Rows with forms of their own, each of which posts to the ledger."""

    verbs: dict[str, tuple[str, type[MoneyForm]]] = {}
    """Name of the method → title and form."""
    change_form_template = "admin/credits/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        info = self.opts.app_label, self.opts.model_name
        own = [
            path(f"<int:pk>/{verb}/", self.admin_site.admin_view(self._view(verb)), name=f"{info[0]}_{info[1]}_{verb}")
            for verb in self.verbs
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        verbs = {verb: title for verb, (title, _) in self.verbs.items()} if may(request, PERMISSION) else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "verbs": verbs})

    def _view(self, verb: str) -> Callable[[HttpRequest, int], HttpResponse]:
        def view(request: HttpRequest, pk: int) -> HttpResponse:
            if not may(request, PERMISSION):
                raise PermissionDenied(f"You may not {verb} credits.")
            return self._money_view(request, get_object_or_404(self.model, pk=pk), verb)

        return view

    def _money_view(self, request: HttpRequest, row: Any, verb: str) -> HttpResponse:
        title, form_class = self.verbs[verb]
        form = form_class(request.POST or None, initial={"nonce": uuid4()})
        if request.method == "POST" and form.is_valid() and self._post(request, row, verb, form):
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", row.pk)
        context = self.admin_site.each_context(request)
        context |= {"title": f"{title}: {row}", "form": form, "row": row, "opts": self.opts, "verb": title}
        return render(request, "admin/credits/money.html", context)

    def _post(self, request: HttpRequest, row: Any, verb: str, form: MoneyForm) -> bool:
        """Post once per nonce, and note in the admin's log who did it and why."""
        asked = form.cleaned_data
        key = f"admin:{asked['nonce']}"
        is_repeated = Entry.objects.filter(key=key).exists()
        try:
            with transaction.atomic():
                details = {"key": key, "actor": staff(request), "reason": asked["reason"]}
                entry: Entry = getattr(self, verb)(row, asked["amount"], **details)
                if not is_repeated:
                    self.log_change(request, row, f"{verb} {asked['amount']:+,} credits: {asked['reason']}")
        except (ledger.LedgerError, ValueError) as error:
            form.add_error("amount", str(error))
            return False
        self._tell(request, entry, is_repeated=is_repeated)
        return True

    def _tell(self, request: HttpRequest, entry: Entry, *, is_repeated: bool) -> None:
        words = f"{entry.get_kind_display()} of {entry.balance_change:+,} credits: {entry.reason}"
        if is_repeated:
            messages.warning(request, f"This form was sent before, and nothing was changed again. {words}")
        else:
            messages.success(request, words)


@admin.register(Account)
class AccountAdmin(MoneyAdmin):
    list_display = ("user", "balance", "held", "available", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    ordering = ("-id",)
    fields = ("user", "balance", "held", "available", "entries", "created_at")
    verbs = {"grant": ("Grant credits", MoneyForm), "adjust": ("Adjust the balance", AdjustForm)}

    @admin.display(description="available")
    def available(self, account: Account) -> int:
        return account.available

    @admin.display(description="entries")
    def entries(self, account: Account) -> str:
        address = f"{reverse('admin:credits_entry_changelist')}?account__id__exact={account.pk}"
        return format_html('<a href="{}">all entries of this account</a>', address)

    def grant(self, account: Account, amount: int, **details: str) -> Entry:
        return ledger.grant(account, amount, **details)

    def adjust(self, account: Account, amount: int, **details: str) -> Entry:
        return ledger.adjust(account, amount, **details)


@admin.register(Hold)
class HoldAdmin(MoneyAdmin):
    list_display = ("reference", "account", "amount", "captured", "released", "refunded", "opened_at", "settled_at")
    list_select_related = ("account__user",)
    list_filter = (("settled_at", admin.EmptyFieldListFilter),)
    search_fields = ("=reference", "account__user__username")
    ordering = ("-id",)
    verbs = {"refund": ("Refund credits", MoneyForm)}

    def refund(self, hold: Hold, amount: int, **details: str) -> Entry:
        return ledger.refund(hold.reference, amount, **details)


@admin.register(Entry)
class EntryAdmin(LookOnlyAdmin):
    list_display = ("id", "created_at", "account", "kind", "balance_change", "held_change", "hold", "actor", "reason")
    list_select_related = ("account__user", "hold")
    list_filter = ("kind",)
    search_fields = ("account__user__username", "=hold__reference", "=key", "actor")
    ordering = ("-id",)
