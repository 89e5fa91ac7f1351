"""Drops PostgreSQL's second indexes of unique texts, which only LIKE uses, and the index of a bucket's time.

Every order changes that time. While it is indexed, each change leaves a dead row for the next one to read.
"""

from django.db import migrations, models

from database.indexes import DropFieldIndexes


class Migration(migrations.Migration):
    # PostgreSQL drops an index concurrently only outside of a transaction.
    atomic = False

    dependencies = [('accounts', '0001_initial')]

    operations = [
        DropFieldIndexes('apikey', 'digest', models.CharField(max_length=64, unique=True, editable=False)),
        DropFieldIndexes('bucket', 'name', models.CharField(max_length=100, primary_key=True, serialize=False)),
        DropFieldIndexes('bucket', 'full_at', models.DateTimeField()),
    ]
