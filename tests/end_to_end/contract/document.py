"""The OpenAPI document of Limn, generated from its code."""

from __future__ import annotations

from drf_spectacular.generators import SchemaGenerator

DOCUMENT = SchemaGenerator().get_schema(request=None, public=True)
