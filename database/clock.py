"""Times by the clock of the database server.

Several machines share the database, and their clocks differ. Leases and due times are therefore computed and compared
by the database. Some deadlines are still compared with the clock of the process (docs/reliability.md, Known gaps).
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.expressions import Combinable
from django.db.models.functions import Now


def from_now(seconds: float) -> ExpressionWrapper[Combinable]:
    """Return an expression for the moment `seconds` after the database's present time, or before it if negative."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())
