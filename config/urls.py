"""The root URL configuration."""

from django.contrib import admin
from django.urls import include, path

from config import health
from operations.views import metrics

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("config.api_urls")),
    path("hooks/", include("generations.callbacks.urls")),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("health/integrations/fal", health.fal, name="health-fal"),
    path("metrics", metrics, name="metrics"),
    path("", include("generations.pages.urls")),
    path("", include("notifications.page_urls")),
]
handler400 = "config.error_handlers.bad_request"
handler403 = "config.error_handlers.permission_denied"
handler404 = "config.error_handlers.page_not_found"
handler500 = "config.error_handlers.server_error"
