"""The admin site, with Limn's name and its warnings."""

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
        """Add the circuit breaker and the order intake: every page of the admin says why nothing can be ordered."""
        # From the registry, because this module is imported before the models.
        breakers = apps.get_model("generations", "CircuitBreaker").objects.filter(opened_at__isnull=False)
        switches = apps.get_model("generations", "OrderIntake").objects.filter(paused_at__isnull=False)
        is_known = request.user.is_authenticated
        opened, paused = (rows.first() if is_known else None for rows in (breakers, switches))
        return {**super().each_context(request), "breaker": opened, "intake": paused}


class LimnAdminConfig(AdminConfig):
    default_site = "config.site.LimnAdminSite"
