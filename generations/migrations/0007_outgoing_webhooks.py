"""Webhooks to customers and their deliveries, mail, and the numbers of the events feed."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import OuterRef, Subquery

import generations.ids
from generations.migrations import _the_end

LEASED = [
    ("next_attempt_at", models.DateTimeField(editable=False, null=True)),
    ("leased_until", models.DateTimeField(editable=False, null=True)),
    ("lease", models.UUIDField(editable=False, null=True)),
    ("attempts", models.PositiveIntegerField(default=0, editable=False)),
    ("crashes", models.PositiveIntegerField(default=0, editable=False)),
]
SIGNING = [
    ("salt", models.CharField(default=generations.ids.new_token, editable=False, max_length=64)),
    ("previous_salt", models.CharField(blank=True, editable=False, max_length=64)),
    ("previous_until", models.DateTimeField(editable=False, null=True)),
]
ID = ("id", models.UUIDField(default=generations.ids.new_id, editable=False, primary_key=True, serialize=False))


def _belongs_to(model, name, *, null=False):
    return models.ForeignKey(
        null=null, on_delete=django.db.models.deletion.PROTECT, related_name=name, to=model
    )


def _one_of(model, name, *, null=False):
    return models.OneToOneField(
        null=null, on_delete=django.db.models.deletion.PROTECT, related_name=name, to=model
    )


def _whose_events(apps, schema_editor):
    """Every event belongs to its generation's customer."""
    owner = apps.get_model("generations", "Generation").objects.filter(pk=OuterRef("generation_id"))
    apps.get_model("generations", "Event").objects.update(account_id=Subquery(owner.values("account_id")[:1]))
    if schema_editor.connection.vendor == "postgresql":
        # Else the table could not be altered before the commit: its foreign keys are still to be checked.
        schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial"), ("generations", "0006_uploads")]
    operations = [
        migrations.CreateModel(
            name="Subscriber",
            fields=[
                *SIGNING,
                ID,
                (
                    "mail",
                    models.CharField(
                        choices=[
                            ("when_asked", "when an order asks for it"),
                            ("always", "about everything that ends"),
                            ("never", "never"),
                        ],
                        default="when_asked",
                        max_length=10,
                    ),
                ),
                ("events_numbered", models.PositiveBigIntegerField(default=0, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("account", _one_of("credits.account", "subscriber")),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                *SIGNING,
                ID,
                ("url", models.CharField(max_length=2000)),
                ("description", models.CharField(blank=True, max_length=200)),
                ("types", models.JSONField(default=list)),
                ("credits_low_at", models.BigIntegerField(null=True)),
                ("is_low", models.BooleanField(default=False, editable=False)),
                ("failing_since", models.DateTimeField(editable=False, null=True)),
                ("disabled_at", models.DateTimeField(null=True)),
                ("disabled_because", models.CharField(blank=True, max_length=200)),
                ("deleted_at", models.DateTimeField(editable=False, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("account", _belongs_to("credits.account", "webhook_endpoints")),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("deleted_at", None), ("disabled_at", None)),
                        fields=["account"],
                        name="generations_listening",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="generation", name="webhook_url", field=models.CharField(blank=True, max_length=2000)
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                *LEASED,
                ID,
                ("message", models.UUIDField(default=generations.ids.new_id, editable=False)),
                ("url", models.CharField(blank=True, max_length=2000)),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("generation.completed", "Completed"),
                            ("generation.failed", "Failed"),
                            ("generation.progressed", "Progressed"),
                            ("credits.low", "Credits Low"),
                            ("webhook.test", "Test"),
                        ],
                        max_length=30,
                    ),
                ),
                ("version", models.PositiveIntegerField(null=True)),
                ("data", models.JSONField(default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "is due, or will be"),
                            ("delivered", "a 2xx came back"),
                            ("exhausted", "given up; it can be sent again by hand"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("detail", models.CharField(blank=True, max_length=200)),
                ("tries", models.PositiveIntegerField(default=0, editable=False)),
                ("happened_at", models.DateTimeField(auto_now_add=True)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("account", _belongs_to("credits.account", "webhook_deliveries")),
                ("endpoint", _belongs_to("generations.webhookendpoint", "deliveries", null=True)),
                ("generation", _belongs_to("generations.generation", "webhook_deliveries", null=True)),
            ],
            options={"verbose_name_plural": "webhook deliveries", "ordering": ("-id",)},
        ),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("duration_ms", models.PositiveIntegerField()),
                ("answer", models.CharField(blank=True, max_length=1000)),
                ("error", models.CharField(blank=True, max_length=300)),
                (
                    "delivery",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="log",
                        to="generations.webhookdelivery",
                    ),
                ),
            ],
            options={"ordering": ("id",)},
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                *LEASED,
                ID,
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "to be sent"),
                            ("sent", "handed to the mail server, or the worker died over it"),
                            ("given_up", "not sent, or nobody knows"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("detail", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("sent_at", models.DateTimeField(null=True)),
                ("account", _belongs_to("credits.account", "notices")),
                ("generation", _one_of("generations.generation", "notice", null=True)),
                ("batch", _one_of("generations.batch", "notice", null=True)),
                ("endpoint", _belongs_to("generations.webhookendpoint", "notices", null=True)),
            ],
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("notified_at", None), ("notify", True)),
                fields=["id"],
                name="generations_batches_to_tell",
            ),
        ),
        migrations.AddField(
            model_name="event", name="account", field=_belongs_to("credits.account", "events", null=True)
        ),
        migrations.RunPython(_whose_events, migrations.RunPython.noop, elidable=True),
        migrations.AlterField(model_name="event", name="account", field=_belongs_to("credits.account", "events")),
        migrations.AddField(
            model_name="event", name="number", field=models.PositiveBigIntegerField(editable=False, null=True)
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("number", None)), fields=["account", "id"], name="generations_event_unnumbered"
            ),
        ),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.UniqueConstraint(fields=("account", "number"), name="generations_event_number_once"),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("next_attempt_at", None), _negated=True),
                fields=["next_attempt_at"],
                name="generations_webhooks_due",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["account", "-id"], name="generations_webhooks_of"),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["happened_at"], name="generations_webhooks_old"),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.UniqueConstraint(
                condition=models.Q(("endpoint__isnull", False), ("generation__isnull", False)),
                fields=("generation", "version", "type", "endpoint"),
                name="generations_told_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.UniqueConstraint(
                condition=models.Q(("endpoint", None), ("generation__isnull", False)),
                fields=("generation", "version", "type"),
                name="generations_order_told_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("endpoint", None), models.Q(("url", ""), _negated=True)),
                    models.Q(("endpoint__isnull", False), ("url", "")),
                    _connector="OR",
                ),
                name="generations_webhook_has_one_address",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("next_attempt_at__isnull", False), ("state", "pending")),
                    models.Q(models.Q(("state", "pending"), _negated=True), ("next_attempt_at", None)),
                    _connector="OR",
                ),
                name="generations_pending_webhook_is_due",
            ),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(
                condition=models.Q(("state", "pending")), fields=["next_attempt_at"], name="generations_notices_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("batch", None), ("endpoint", None), ("generation__isnull", False)),
                    models.Q(("batch__isnull", False), ("endpoint", None), ("generation", None)),
                    models.Q(("batch", None), ("endpoint__isnull", False), ("generation", None)),
                    _connector="OR",
                ),
                name="generations_notice_is_about_one_thing",
            ),
        ),
        _the_end.renewed(),
    ]
