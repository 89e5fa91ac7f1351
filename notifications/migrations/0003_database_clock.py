"""New rows get their time from the database's clock. Nothing changes in the database."""

import database.clock
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0002_indexes"),
    ]

    # The defaults are Python's. Altering the columns would remake the tables on SQLite, without their triggers.
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="emailnotification",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="subscriber",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="webhookdelivery",
                    name="happened_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="webhookendpoint",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
            ]
        )
    ]
