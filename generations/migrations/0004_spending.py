"""Adds what was spent per account and day, and per API key, and fills it from the generations."""

import importlib

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import BigIntegerField, Case, F, Sum, When
from django.db.models.functions import TruncDate

from database.triggers import CreateTrigger

ENDED_GENERATIONS_ARE_FINAL = importlib.import_module("generations.migrations.0001_initial").ENDED_GENERATIONS_ARE_FINAL
SPENDING = Case(When(phase="done", then=F("captured")), default=F("credits"), output_field=BigIntegerField())


def fill(apps, schema_editor):
    Generation = apps.get_model("generations", "Generation")
    DailySpending = apps.get_model("generations", "DailySpending")
    KeySpending = apps.get_model("generations", "KeySpending")
    alias = schema_editor.connection.alias
    generations = Generation.objects.using(alias).order_by()
    by_day = generations.values_list("account_id", TruncDate("created_at")).annotate(spent=Sum(SPENDING))
    DailySpending.objects.using(alias).bulk_create(
        (DailySpending(account_id=account, day=day, credits=credits) for account, day, credits in by_day.iterator()),
        batch_size=1000,
    )
    by_key = generations.exclude(api_key=None).values_list("api_key_id").annotate(spent=Sum(SPENDING))
    KeySpending.objects.using(alias).bulk_create(
        (KeySpending(api_key_id=key, credits=credits) for key, credits in by_key.iterator()), batch_size=1000
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("credits", "0001_initial"),
        ("generations", "0003_indexes"),
    ]

    operations = [
        migrations.CreateModel(
            name="DailySpending",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("credits", models.BigIntegerField(default=0)),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="credits.account",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("account", "day"), name="generations_spending_of_day")
                ],
            },
        ),
        migrations.CreateModel(
            name="KeySpending",
            fields=[
                (
                    "api_key",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="spending",
                        serialize=False,
                        to="accounts.apikey",
                    ),
                ),
                ("credits", models.BigIntegerField(default=0)),
            ],
        ),
        # The order writes it, not the moment of the INSERT: what is spent on a day is found by it.
        migrations.AlterField(
            "generation",
            "created_at",
            models.DateTimeField(default=django.utils.timezone.now, editable=False),
        ),
        # SQLite has rebuilt the table of the generations, and a rebuilt table has no triggers.
        CreateTrigger(ENDED_GENERATIONS_ARE_FINAL),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
