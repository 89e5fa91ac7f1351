"""Replaces the index of incidents by one that has surplus jobs as well. It holds a few of millions of rows."""

from django.db import migrations, models
from django.db.models import Q

from database.indexes import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    # PostgreSQL builds an index concurrently only outside of a transaction.
    atomic = False

    dependencies = [("generations", "0010_incidents")]

    operations = [
        AddIndex(
            "event",
            models.Index(
                fields=["created_at"],
                name="generations_incident_events",
                condition=Q(fact="ambiguous")
                | Q(fact="contradicted")
                | Q(fact="disputed")
                | Q(fact="stuck")
                | Q(fact="surplus"),
            ),
        ),
        RemoveIndex("event", "generations_events_incidents"),
    ]
