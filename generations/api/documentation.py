"""The API's own description: the index of its resources, the OpenAPI document, and Swagger UI to browse it."""

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

INDEX = (
    *("models", "quotes", "generations", "batches", "infographics", "retention", "credits", "entries", "events"),
    *("webhook-endpoints", "webhook-deliveries", "schema", "docs"),
)
"""Names of the URLs that the index lists."""


class IndexView(APIView):
    permission_classes = [AllowAny]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response({name: reverse(f"api:{name}", request=request) for name in INDEX})


class SchemaView(SpectacularAPIView):
    authentication_classes = []
    permission_classes = [AllowAny]


# Swagger UI has its script in a file of its own, which the content security policy allows, but it sets inline styles.
@method_decorator(csp_update({"style-src": [SELF, UNSAFE_INLINE]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    authentication_classes = []
    permission_classes = [AllowAny]
    url_name = "api:schema"


class UnknownView(APIView):
    """Answers all other URLs below /api/. As a view, so that the problem is JSON even with DEBUG on."""

    authentication_classes = []
    permission_classes = [AllowAny]
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        hint = "" if request.path.endswith("/") else " URLs end with a slash."
        raise NotFound(f"There is nothing at {request.path}.{hint}")
