"""Drops the index that is a prefix of `credits_statement`, and PostgreSQL's second indexes of unique texts."""

from django.db import migrations, models
from django.db.models import PROTECT, ForeignKey

from database.indexes import DropFieldIndexes


class Migration(migrations.Migration):
    # PostgreSQL drops an index concurrently only outside of a transaction.
    atomic = False

    dependencies = [('credits', '0002_available_after')]

    operations = [
        DropFieldIndexes(
            'entry', 'account', ForeignKey('credits.account', PROTECT, related_name='entries', db_index=False)
        ),
        DropFieldIndexes('entry', 'key', models.CharField(max_length=100, null=True, unique=True)),
        DropFieldIndexes('hold', 'reference', models.CharField(max_length=100, unique=True)),
    ]
