"""The price book in the admin: staff with the permission add entries, and no entry is ever changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.http import HttpRequest
from django.utils import timezone

from credits.read_only_admin import ReadOnlyAdmin, has_permission, staff_actor
from generations.catalogue import MODELS
from generations.models import PERCENT_MAX, PriceBookEntry
from generations.ordering import price_book

FORM_FIELDS = ("model", "percent", "offered", "effective_from", "note")


class EntryForm(forms.ModelForm[PriceBookEntry]):
    model = forms.ChoiceField(choices=[(slug, f"{model.title} ({slug})") for slug, model in MODELS.items()])
    percent = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=PERCENT_MAX,
        help_text="Percentage of the list price. Empty: the list price.",
    )
    effective_from = forms.SplitDateTimeField(required=False, widget=AdminSplitDateTime, help_text="UTC. Empty: now.")

    class Meta:
        model = PriceBookEntry
        fields = FORM_FIELDS

    def clean_effective_from(self) -> datetime | None:
        effective_from: datetime | None = self.cleaned_data["effective_from"]
        if effective_from is not None and effective_from < timezone.now():
            raise forms.ValidationError("A price cannot change in the past. Leave the field empty for “now”.")
        return effective_from


@admin.register(PriceBookEntry)
class PriceBookEntryAdmin(ReadOnlyAdmin):
    form = EntryForm
    list_display = ("model", "percent", "offered", "effective_from", "in_force", "actor", "note")
    list_filter = ("offered", "model")
    ordering = ("-effective_from", "-id")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return has_permission(request, "generations.add_pricebookentry")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return FORM_FIELDS if obj is None else super().get_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # Only the form for a new entry has editable fields.
        return [] if obj is None else super().get_readonly_fields(request, obj)

    def save_model(self, request: HttpRequest, obj: PriceBookEntry, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in FORM_FIELDS if name != "model"}
        written = price_book.write(obj.model, actor=staff_actor(request), **values)
        # Django logs the addition of `obj`, so it must have the key and the time of the row that was written.
        obj.pk, obj.effective_from = written.pk, written.effective_from

    @admin.display(description="in force", boolean=True)
    def in_force(self, entry: PriceBookEntry) -> bool:
        newest = PriceBookEntry.objects.in_force(timezone.now()).filter(model=entry.model).last()
        return newest is not None and newest.pk == entry.pk
