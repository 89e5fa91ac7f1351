"""API keys and limits of users in the admin. Staff revoke keys and set limits; logging in is throttled."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.login_throttle import AdminLoginForm
from accounts.models import ApiKey, UserLimits
from credits.read_only_admin import ReadOnlyAdmin, has_permission

admin.site.login_form = AdminLoginForm


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("prefix", "name", "user", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_select_related = ("user",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("prefix", "name", "user__username")
    ordering = ("-id",)
    exclude = ("digest",)
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return has_permission(request, "accounts.change_apikey")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset.filter(revoked_at=None):
            # Guarded, so that a key keeps the moment at which it was revoked first.
            if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
                self.log_change(request, key, "Revoked")
                messages.success(request, f"{key} opens nothing any more.")


@admin.register(UserLimits)
class UserLimitsAdmin(admin.ModelAdmin[UserLimits]):
    """The one table that staff edit: nothing follows from a row but what its customer may do next."""

    list_display = ("account", "requests_per_minute", "running_max", "credits_per_day", "credits_per_month")
    list_select_related = ("account__user",)
    search_fields = ("account__user__username",)
    autocomplete_fields = ("account",)
