"""Which generations a list shows. Strict: a filter that nobody knows would otherwise show everything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import Exact
from django.http import QueryDict
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from generations.api.order_requests import METADATA_KEY
from generations.catalogue import MODELS
from generations.models import Generation, Status

KINDS = sorted({model.kind for model in MODELS.values()})
_METADATA = re.compile(rf"metadata\.(?P<key>{METADATA_KEY})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DOOMSDAY = datetime(9000, 1, 1, tzinfo=UTC)
_OF_PAGES = {"cursor", "limit"}


class GenerationFilter(filters.FilterSet):  # type: ignore[misc]
    status = filters.ChoiceFilter(choices=Status.choices)
    kind = filters.ChoiceFilter(choices=[(kind, kind) for kind in KINDS])
    model = filters.ChoiceFilter(choices=[(slug, slug) for slug in MODELS], help_text="A model's slug.")
    # Year 1 in Samoa is year 0 in UTC: databases choke on the ends of the calendar.
    created_after = filters.IsoDateTimeFilter(
        field_name="created_at", lookup_expr="gt", validators=[MinValueValidator(EPOCH), MaxValueValidator(DOOMSDAY)]
    )


class StrictFilters(filters.DjangoFilterBackend):  # type: ignore[misc]
    """The declared filters, and `metadata.<key>` for the customer's own words."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Generation], view: APIView) -> QuerySet[Generation]:
        _refuse(request.query_params)
        filtered: QuerySet[Generation] = super().filter_queryset(request, queryset, view)
        for key, value in _metadata(request.query_params):
            # Not `metadata__key=`: in there, a key like "a__contains" would be a lookup.
            filtered = filtered.filter(Exact(KeyTextTransform(key, "metadata"), Value(value)))
        return filtered


def _refuse(parameters: QueryDict) -> None:
    known = _OF_PAGES | set(GenerationFilter.base_filters)
    errors = {name: wrong for name in parameters if (wrong := _what_is_wrong(name, parameters.getlist(name), known))}
    if errors:
        raise ValidationError({name: [ErrorDetail(msg, code)] for name, (msg, code) in errors.items()})


def _what_is_wrong(name: str, values: list[str], known: set[str]) -> tuple[str, str] | None:
    if name not in known and not _METADATA.fullmatch(name):
        return f"There is no such filter. Filters: {', '.join(sorted(known))}, metadata.<key>.", "unknown"
    if len(values) > 1:
        return "Given more than once.", "repeated"
    if not values[0] and name in known:
        return "Empty.", "blank"
    if "\0" in values[0]:
        return "NUL characters are not allowed.", "null_characters_not_allowed"
    return None


def _metadata(parameters: QueryDict) -> Iterator[tuple[str, str]]:
    for name in parameters:
        if found := _METADATA.fullmatch(name):
            yield found["key"], str(parameters[name])
