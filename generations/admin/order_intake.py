"""The order intake in the admin: staff with the permission pause new orders and resume them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from credits.read_only_admin import ReadOnlyAdmin, has_permission, staff_actor
from generations.models import OrderIntake
from generations.ordering import order_intake


@admin.register(OrderIntake)
class OrderIntakeAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "paused_at", "reason")
    actions = ("pause", "resume")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Actions apply to selected rows, so the row must exist even if nothing was ever paused.
        OrderIntake.objects.get_or_create(id=1)
        return super().changelist_view(request, extra_context)

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return has_permission(request, "generations.change_orderintake")

    @admin.action(description="Pause: accept no new orders", permissions=["switch"])
    def pause(self, request: HttpRequest, queryset: QuerySet[OrderIntake]) -> None:
        if order_intake.pause(f"by {staff_actor(request)}"):
            self.log_change(request, OrderIntake.objects.get(), "Paused")
        messages.success(request, "New orders are no longer accepted. Orders in progress continue.")

    @admin.action(description="Resume: accept orders again", permissions=["switch"])
    def resume(self, request: HttpRequest, queryset: QuerySet[OrderIntake]) -> None:
        if order_intake.resume():
            self.log_change(request, OrderIntake.objects.get(), "Resumed")
        messages.success(request, "Orders are accepted.")
