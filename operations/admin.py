"""The lines of fal's bill in the admin."""

from __future__ import annotations

from django.contrib import admin

from credits.read_only_admin import ReadOnlyAdmin
from operations.models import Charge


@admin.register(Charge)
class ChargeAdmin(ReadOnlyAdmin):
    list_display = ("billed_at", "endpoint", "units", "dollars", "request_id", "is_known")
    list_select_related = ("submission",)
    list_filter = (("submission", admin.EmptyFieldListFilter), "endpoint")
    search_fields = ("=request_id",)
    ordering = ("-billed_at", "-id")

    @admin.display(description="submitted by Limn", boolean=True)
    def is_known(self, charge: Charge) -> bool:
        return charge.submission_id is not None
