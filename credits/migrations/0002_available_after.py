"""Adds the running balance to each entry, so that a page of a statement does not sum up what lies before it."""

import importlib

from django.db import migrations, models

from database.triggers import CreateTrigger

ENTRIES_ARE_APPEND_ONLY = importlib.import_module("credits.migrations.0001_initial").ENTRIES_ARE_APPEND_ONLY

# A subquery with a window function is computed once for all rows, on both databases.
FILL = """
    UPDATE credits_entry SET available_after = summed.available
    FROM (
        SELECT id, SUM(balance_change - held_change) OVER (PARTITION BY account_id ORDER BY id) AS available
        FROM credits_entry
    ) summed
    WHERE summed.id = credits_entry.id"""


def allow_updates(apps, schema_editor):
    for statement in ENTRIES_ARE_APPEND_ONLY.drop_sql(schema_editor.connection.vendor):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial")]

    operations = [
        migrations.AddField("entry", "available_after", models.BigIntegerField(null=True)),
        migrations.RunPython(allow_updates, migrations.RunPython.noop),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AlterField("entry", "available_after", models.BigIntegerField()),
        # SQLite has rebuilt the table, and a rebuilt table has no triggers.
        CreateTrigger(ENTRIES_ARE_APPEND_ONLY),
    ]
