"""Every address of Limn."""

from django.contrib import admin
from django.urls import include, path

from config import health, metrics
from generations import webhooks

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("generations.api.urls")),
    # With and without the slash: fal never repeats a callback that was redirected.
    path("hooks/fal/<uuid:submission_id>/<str:token>", webhooks.fal_callback, name="fal-callback"),
    path("hooks/fal/<uuid:submission_id>/<str:token>/", webhooks.fal_callback),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("health/integrations/fal", health.fal, name="health-fal"),
    path("metrics", metrics.show, name="metrics"),
    path("", include("generations.pages.urls")),
]
handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"
