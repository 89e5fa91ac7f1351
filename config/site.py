"""The admin site, in Limn's name."""

from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest


class LimnAdminSite(AdminSite):
    site_header = "Limn"
    site_title = "Limn"
    index_title = "Operations"

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """On every page staff are told why nobody can order: fal refuses us, or somebody has paused it."""
        # Asked of the registry: this module is read before any model may be.
        breakers = apps.get_model("generations", "CircuitBreaker").objects.filter(opened_at__isnull=False)
        switches = apps.get_model("generations", "OrderIntake").objects.filter(paused_at__isnull=False)
        is_known = request.user.is_authenticated
        opened, paused = (rows.first() if is_known else None for rows in (breakers, switches))
        return {**super().each_context(request), "breaker": opened, "intake": paused}


class LimnAdminConfig(AdminConfig):
    default_site = "config.site.LimnAdminSite"
