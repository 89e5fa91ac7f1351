"""Adds the attempts to write files, the marks in the storage, and the report of the storage cleaner."""

import database.ids
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("generations", "0007_database_clock"),
    ]

    operations = [
        migrations.CreateModel(
            name="StorageMark",
            fields=[
                (
                    "id",
                    models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="StorageReport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("unknown_files", models.PositiveIntegerField()),
                ("unknown_bytes", models.PositiveBigIntegerField()),
                ("first_unknown", models.CharField(blank=True, max_length=1024)),
                ("missing_files", models.PositiveIntegerField()),
                ("ended_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="WriteAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("lease", models.UUIDField()),
                ("is_over", models.BooleanField(default=False)),
                ("cleanups", models.PositiveSmallIntegerField(default=0)),
                ("next_cleanup_at", models.DateTimeField()),
                (
                    "output",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="write_attempts",
                        to="generations.output",
                    ),
                ),
                (
                    "upload",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="write_attempts",
                        to="generations.upload",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["next_cleanup_at"], name="generations_attempts_clean_up"),
                    models.Index(
                        condition=models.Q(("upload__isnull", False)),
                        fields=["upload"],
                        name="generations_attempts_of_upload",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("output__isnull", True), ("upload__isnull", True), _connector="XOR"),
                        name="generations_attempt_has_one_owner",
                    )
                ],
            },
        ),
    ]
