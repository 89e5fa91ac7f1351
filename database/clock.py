"""Times by the database's clock, the one clock that decides. A process's own clock never does."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.expressions import Combinable
from django.db.models.functions import Now


def from_now(seconds: float) -> ExpressionWrapper[Combinable]:
    """The moment `seconds` from now (before now if negative), computed by the database."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())
