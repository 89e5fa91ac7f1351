"""URLs of the API, below /api/: the resources of all apps, under one namespace."""

from django.urls import include, path

app_name = "api"
urlpatterns = [
    path("", include("notifications.api.urls")),
    # Last, because it ends with the response to every unknown URL.
    path("", include("generations.api.urls")),
]
