"""URLs of the API, below /api/: the resources of all apps under one namespace."""

from django.urls import path, re_path

from generations.api import documentation
from generations.api.urls import urlpatterns as generations_urls
from notifications.api.urls import urlpatterns as notifications_urls

app_name = "api"
urlpatterns = [
    path("v1/", documentation.IndexView.as_view(), name="index"),
    *generations_urls,
    *notifications_urls,
    path("v1/schema/", documentation.SchemaView.as_view(), name="schema"),
    path("v1/docs/", documentation.DocsView.as_view(), name="docs"),
    re_path("", documentation.UnknownView.as_view()),
]
