"""Filters of the list of generations. They are strict: an unknown or empty filter is refused.

A client with a typing error in a filter would otherwise take the unfiltered list for the filtered one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import F, QuerySet
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from generations.api.order_requests import METADATA_KEY
from generations.catalogue import MODELS
from generations.models import Generation, GenerationQuerySet, Status

KINDS = sorted({model.kind for model in MODELS.values()})
# Databases fail at the ends of the calendar: year 1 in Samoa is year 0 in UTC.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
_METADATA = re.compile(rf"metadata\.(?P<key>{METADATA_KEY})")
_PAGINATION_PARAMETERS = {"cursor", "limit"}


class GenerationFilter(filters.FilterSet):  # type: ignore[misc]
    status = filters.ChoiceFilter(choices=Status.choices)
    kind = filters.ChoiceFilter(choices=[(kind, kind) for kind in KINDS])
    model = filters.ChoiceFilter(choices=[(slug, slug) for slug in MODELS], help_text="The slug of a model.")
    created_after = filters.IsoDateTimeFilter(
        field_name="created_at",
        method="filter_created_after",
        validators=[MinValueValidator(EARLIEST), MaxValueValidator(LATEST)],
    )

    def filter_created_after(
        self, generations: GenerationQuerySet, name: str, moment: datetime
    ) -> QuerySet[Generation]:
        return generations.created_after(moment)


class StrictFilters(filters.DjangoFilterBackend):  # type: ignore[misc]
    """The filters of the view's filter set, and `metadata.<key>` for the customer's own keys."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Generation], view: APIView) -> QuerySet[Generation]:
        parameters = request.query_params
        # django-filter ignores parameters that it does not know, so they are checked first.
        errors = {name: [error] for name in parameters if (error := _find_error(name, parameters.getlist(name)))}
        if errors:
            raise ValidationError(errors)
        filtered = queryset
        # A filter set copies all of its fields, which takes 2,500 calls.
        if not set(GenerationFilter.base_filters).isdisjoint(parameters):
            filtered = super().filter_queryset(request, queryset, view)
        for name, value in parameters.items():
            if match := _METADATA.fullmatch(name):
                filtered = _filter_by_metadata(filtered, match["key"], str(value))
        return filtered


def _filter_by_metadata(generations: QuerySet[Generation], key: str, value: str) -> QuerySet[Generation]:
    """Return the generations with this text under this key of their metadata."""
    entry = {"metadata_entries__key": key, "metadata_entries__value": value}
    # The account is named once more because the index of the entries begins with it.
    return generations.filter(metadata_entries__account=F("account"), **entry)


def _find_error(name: str, values: list[str]) -> ErrorDetail | None:
    """Return what is wrong with a query parameter, as far as django-filter does not check it."""
    known = _PAGINATION_PARAMETERS | set(GenerationFilter.base_filters)
    if name not in known and not _METADATA.fullmatch(name):
        names = ", ".join(sorted(known))
        return ErrorDetail(f"There is no such filter. Filters: {names}, metadata.<key>.", "unknown")
    if len(values) > 1:
        return ErrorDetail("The parameter is given more than once.", "repeated")
    # django-filter ignores an empty filter. Metadata may be empty.
    if not values[0] and name in known:
        return ErrorDetail("The parameter is empty.", "blank")
    # PostgreSQL refuses NUL in text.
    if "\0" in values[0]:
        return ErrorDetail("NUL characters are not allowed.", "null_characters_not_allowed")
    return None
