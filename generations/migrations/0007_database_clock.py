"""New rows get their time from the database's clock. Nothing changes in the database."""

import database.clock
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("generations", "0006_fill_metadata_entries"),
    ]

    # The defaults are Python's. Altering the columns would remake the tables on SQLite, without their triggers.
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="batch",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="erasure",
                    name="asked_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="event",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="falaccount",
                    name="pinned_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="generation",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="pricebookentry",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="pricebookentry",
                    name="effective_from",
                    field=models.DateTimeField(default=database.clock.now),
                ),
                migrations.AlterField(
                    model_name="providercallback",
                    name="received_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="submission",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
                migrations.AlterField(
                    model_name="submission",
                    name="units_due_at",
                    field=models.DateTimeField(default=database.clock.now, null=True),
                ),
                migrations.AlterField(
                    model_name="upload",
                    name="created_at",
                    field=models.DateTimeField(default=database.clock.now, editable=False),
                ),
            ]
        )
    ]
