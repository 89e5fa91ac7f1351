"""The API about itself: its entry points, its OpenAPI document, and pages to read that."""

from __future__ import annotations

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from generations.errors import NotFound

ENTRY_POINTS = (
    *("models", "quotes", "generations", "batches", "infographics", "retention", "credits", "entries", "events"),
    *("webhook-endpoints", "webhook-deliveries", "schema", "docs"),
)


class IndexView(APIView):
    permission_classes = [AllowAny]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response({name: reverse(f"api:{name}", request=request) for name in ENTRY_POINTS})


class SchemaView(SpectacularAPIView):
    authentication_classes = []
    permission_classes = [AllowAny]


# Swagger UI keeps its script in a file of its own, but sets styles from it.
@method_decorator(csp_update({"style-src": [SELF, UNSAFE_INLINE]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    authentication_classes = []
    permission_classes = [AllowAny]
    url_name = "api:schema"


class UnknownView(APIView):
    """Every other address below /api/. A view, so that the answer is JSON, with DEBUG on as well."""

    authentication_classes = []
    permission_classes = [AllowAny]
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        hint = "" if request.path.endswith("/") else " Addresses end with a slash."
        raise NotFound(f"There is nothing at {request.path}.{hint}")
