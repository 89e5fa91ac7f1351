"""What fal's answer says beside its files."""

from django.db import migrations, models

from generations.migrations import _the_end


class Migration(migrations.Migration):
    dependencies = [("generations", "0011_refused_callbacks")]
    operations = [
        migrations.AddField("generation", "details", models.JSONField(default=dict)),
        _the_end.renewed(),
    ]
