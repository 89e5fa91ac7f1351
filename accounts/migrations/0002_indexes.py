"""Drops PostgreSQL's second indexes of unique texts, which only LIKE uses."""

from django.db import migrations, models

from database.indexes import DropFieldIndexes


class Migration(migrations.Migration):
    # PostgreSQL drops an index concurrently only outside of a transaction.
    atomic = False

    dependencies = [('accounts', '0001_initial')]

    operations = [
        DropFieldIndexes('apikey', 'digest', models.CharField(max_length=64, unique=True, editable=False)),
        DropFieldIndexes('bucket', 'name', models.CharField(max_length=100, primary_key=True, serialize=False)),
    ]
