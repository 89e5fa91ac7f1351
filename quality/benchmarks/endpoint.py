"""A typical API endpoint for the web server benchmark: the whole middleware, one query of twenty rows, JSON."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.handlers.wsgi import WSGIHandler
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

ROWS = 20


class Rows(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response([{"id": group.pk, "name": group.name} for group in Group.objects.order_by("pk")[:ROWS]])


urlpatterns = [path("rows/", Rows.as_view())]
settings.ROOT_URLCONF = __name__
application = WSGIHandler()
