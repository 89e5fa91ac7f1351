from django.db import migrations, models

from database.indexes import DropFieldIndexes


class Migration(migrations.Migration):
    # PostgreSQL drops an index concurrently only outside of a transaction.
    atomic = False

    dependencies = [('operations', '0001_initial')]

    operations = [
        migrations.CreateModel(
            name='StoredSums',
            fields=[
                ('name', models.CharField(max_length=20, primary_key=True, serialize=False)),
                ('last_id', models.BigIntegerField(default=0)),
                ('sums', models.JSONField(default=list)),
            ],
            options={'verbose_name_plural': 'stored sums'},
        ),
        # PostgreSQL's second index of a text that is a primary key, which only LIKE uses.
        DropFieldIndexes(
            'storedsums', 'name', models.CharField(max_length=20, primary_key=True, serialize=False)
        ),
    ]
