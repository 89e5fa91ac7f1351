"""Renames columns, an index, a constraint and a help text to the words of docs/glossary.md."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("generations", "0001_initial")]

    operations = [
        migrations.RenameField("submission", "withdrawn_at", "surplus_cancelled_at"),
        migrations.RenameField("upload", "announced_type", "declared_type"),
        migrations.RenameField("upload", "announced_size_bytes", "declared_size_bytes"),
        migrations.RenameField("upload", "swept_at", "cleaned_up_at"),
        migrations.RemoveIndex("upload", "generations_uploads_to_sweep"),
        migrations.AddIndex(
            "upload",
            models.Index(
                fields=["created_at"],
                name="generations_uploads_clean_up",
                condition=models.Q(cleaned_up_at=None),
            ),
        ),
        migrations.RemoveConstraint("submission", "generations_attempts_are_numbered"),
        migrations.AddConstraint(
            "submission",
            models.UniqueConstraint(fields=["generation", "number"], name="generations_submissions_numbered"),
        ),
        migrations.AlterField(
            "pricebookentry",
            "percent",
            models.PositiveIntegerField(
                null=True,
                blank=True,
                help_text="Percentage of the list price, rounded up to whole credits. Empty: the list price.",
            ),
        ),
    ]
