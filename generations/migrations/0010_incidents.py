"""Adds the indexes that find what an alert must report. They hold a few of millions of rows."""

from django.db import migrations, models
from django.db.models import Q

from database.indexes import AddIndex


class Migration(migrations.Migration):
    # PostgreSQL builds an index concurrently only outside of a transaction.
    atomic = False

    dependencies = [("generations", "0009_long_outages")]

    operations = [
        AddIndex(
            "event",
            models.Index(
                fields=["created_at"],
                name="generations_events_incidents",
                condition=Q(fact="ambiguous") | Q(fact="contradicted") | Q(fact="disputed") | Q(fact="stuck"),
            ),
        ),
        AddIndex(
            "providercallback",
            models.Index(fields=["received_at"], name="generations_orphan_callbacks", condition=Q(outcome="orphan")),
        ),
    ]
