"""API keys and user limits in the admin: staff revoke keys and set limits. Logins to the admin are throttled."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts import api_keys
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
        for key in queryset:
            # A key that was revoked before gets no second line in the log.
            if api_keys.revoke(key):
                self.log_change(request, key, "Revoked")
                messages.success(request, f"{key} is revoked.")


@admin.register(UserLimits)
class UserLimitsAdmin(admin.ModelAdmin[UserLimits]):
    """The only table that staff edit in forms: a row only limits what its user may do next, and no history depends on
    it."""

    list_display = ("account", "requests_per_minute", "running_max", "credits_per_day", "credits_per_month")
    list_select_related = ("account__user",)
    search_fields = ("account__user__username",)
    autocomplete_fields = ("account",)
