"""New rows get their time from the database's clock. Nothing changes in the database."""

import database.clock
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_indexes"),
    ]

    # The defaults are Python's. Altering the columns would remake the tables on SQLite, without their triggers.
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="apikey",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
            ]
        )
    ]
