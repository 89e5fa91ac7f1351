"""What customers may spend, and how often."""

import django.db.models.deletion
from django.db import migrations, models

import generations.ids
import generations.models.api_key
from generations.migrations import _the_end


def _name_the_keys(apps, schema_editor):
    """Each key there is gets a name to the outside of its own."""
    keys = apps.get_model("generations", "ApiKey").objects
    for key in keys.all():
        keys.filter(pk=key.pk).update(uid=generations.ids.new_id())


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial"), ("generations", "0007_outgoing_webhooks")]
    operations = [
        migrations.CreateModel(
            name="Bucket",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("full_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="Intake",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False),
                ),
                ("paused_at", models.DateTimeField(null=True)),
                ("reason", models.CharField(blank=True, max_length=300)),
            ],
            options={"verbose_name_plural": "intake"},
        ),
        migrations.AddConstraint(
            model_name="intake",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="generations_one_intake"),
        ),
        migrations.CreateModel(
            name="Turn",
            fields=[
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="turn",
                        serialize=False,
                        to="credits.account",
                    ),
                ),
                ("served_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="UserLimits",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("requests_per_minute", models.PositiveIntegerField(blank=True, null=True)),
                ("running_max", models.PositiveIntegerField(blank=True, null=True)),
                ("credits_per_day", models.PositiveIntegerField(blank=True, null=True)),
                ("credits_per_month", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="limits", to="credits.account"
                    ),
                ),
            ],
            options={"verbose_name_plural": "user limits"},
        ),
        migrations.AddField("apikey", "uid", models.UUIDField(editable=False, null=True)),
        migrations.RunPython(_name_the_keys, migrations.RunPython.noop),
        migrations.AlterField(
            "apikey", "uid", models.UUIDField(default=generations.ids.new_id, editable=False, unique=True)
        ),
        migrations.AddField("apikey", "scopes", models.JSONField(default=generations.models.api_key.usual_scopes)),
        migrations.AddField("apikey", "expires_at", models.DateTimeField(null=True)),
        migrations.AddField("apikey", "credits_max", models.BigIntegerField(null=True)),
        migrations.AddField("apikey", "model_slugs", models.JSONField(default=list)),
        migrations.AddField(
            "generation",
            "api_key",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="generations",
                to="generations.apikey",
            ),
        ),
        _the_end.renewed(),
    ]
