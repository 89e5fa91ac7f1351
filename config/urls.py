"""Every address of Limn."""

from django.contrib import admin
from django.urls import include, path

from config import health
from generations.callbacks.views import fal_callback
from operations.views import metrics

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("config.api_urls")),
    # With and without the slash: fal never repeats a callback that was redirected.
    path("hooks/fal/<uuid:submission_id>/<str:token>", fal_callback, name="fal-callback"),
    path("hooks/fal/<uuid:submission_id>/<str:token>/", fal_callback),
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
