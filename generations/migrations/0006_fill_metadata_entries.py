"""Adds the metadata of older generations as rows, and drops the GIN index that they replace.

Processes of the version before place orders meanwhile. The trigger of migration 0005 adds the rows of these.
"""

import importlib

from django.db import migrations

from database.indexes import drop, without_timeouts

ENTRIES = importlib.import_module("generations.migrations.0005_metadata_entries")


def fill(apps, schema_editor):
    each = ENTRIES.EACH[schema_editor.connection.vendor].format("generation.metadata")
    with without_timeouts(schema_editor):
        schema_editor.execute(
            f"{ENTRIES.INSERT} SELECT generation.id, generation.account_id, entry.key, entry.value "
            f"FROM generations_generation generation, {each} entry "
            "WHERE generation.metadata <> '{}' ON CONFLICT DO NOTHING",
            params=None,
        )


def drop_replaced_index(apps, schema_editor):
    with without_timeouts(schema_editor):
        drop(schema_editor, "generations_metadata")


class Migration(migrations.Migration):
    # PostgreSQL drops an index concurrently only outside of a transaction. It can be repeated if it was interrupted.
    atomic = False

    dependencies = [("generations", "0005_metadata_entries")]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
        migrations.RunPython(drop_replaced_index, elidable=True),
    ]
