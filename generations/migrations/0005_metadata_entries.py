"""Adds the metadata of generations as rows, which a trigger keeps from now on."""

import django.db.models.deletion
from django.db import migrations, models

from database.triggers import CreateTrigger, DerivingTrigger

TABLE = "generations_metadataentry"
INSERT = f"INSERT INTO {TABLE} (generation_id, account_id, key, value)"
EACH = {"postgresql": "jsonb_each_text({})", "sqlite": "json_each({})"}
ENTRIES_FOLLOW_METADATA = DerivingTrigger(
    name="generations_metadata_entries",
    table="generations_generation",
    column="metadata",
    empty="'{}'",
    insert={
        vendor: f"{INSERT} SELECT NEW.id, NEW.account_id, entry.key, entry.value FROM {each.format('NEW.metadata')} entry"
        for vendor, each in EACH.items()
    },
    delete=f"DELETE FROM {TABLE} WHERE generation_id = OLD.id",
)


class Migration(migrations.Migration):
    dependencies = [
        ("credits", "0001_initial"),
        ("generations", "0004_spending"),
    ]

    operations = [
        migrations.CreateModel(
            name="MetadataEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=40)),
                ("value", models.CharField(max_length=500)),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="credits.account",
                    ),
                ),
                (
                    "generation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="metadata_entries",
                        to="generations.generation",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "metadata entries",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "key", "value", "generation"), name="generations_by_metadata"
                    )
                ],
            },
        ),
        CreateTrigger(ENTRIES_FOLLOW_METADATA),
    ]
