"""Prices that staff set, and what fal billed."""

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from generations.migrations import _the_end

SENTENCE = "An entry of the price book is never changed or deleted; add another one."
POSTGRESQL = f"""
CREATE FUNCTION generations_price_is_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{SENTENCE}' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER generations_price_is_history BEFORE UPDATE OR DELETE ON generations_pricebookentry
    FOR EACH ROW EXECUTE FUNCTION generations_price_is_history();
"""
POSTGRESQL_BACK = """
DROP TRIGGER generations_price_is_history ON generations_pricebookentry;
DROP FUNCTION generations_price_is_history();
"""
SQLITE = [
    f"""CREATE TRIGGER generations_price_no_{verb.lower()} BEFORE {verb} ON generations_pricebookentry
        BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END"""
    for verb in ("UPDATE", "DELETE")
]
SQLITE_BACK = ["DROP TRIGGER generations_price_no_update", "DROP TRIGGER generations_price_no_delete"]


def forwards(apps: Any, schema_editor: Any) -> None:
    for statement in [POSTGRESQL] if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def backwards(apps: Any, schema_editor: Any) -> None:
    for statement in [POSTGRESQL_BACK] if schema_editor.connection.vendor == "postgresql" else SQLITE_BACK:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("generations", "0004_batches_and_rules")]
    operations = [
        migrations.CreateModel(
            name='PriceBookEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model', models.CharField(max_length=100)),
                ('percent', models.PositiveIntegerField(blank=True, help_text='Of the declared price, rounded up to whole credits. Empty: as declared.', null=True)),
                ('offered', models.BooleanField(default=True, help_text='Whether it can be ordered at all.')),
                ('effective_from', models.DateTimeField(default=django.utils.timezone.now)),
                ('note', models.CharField(blank=True, max_length=500)),
                ('actor', models.CharField(max_length=150)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'verbose_name_plural': 'price book entries',
                'ordering': ('-effective_from', '-id'),
                'indexes': [models.Index(fields=['model', 'effective_from', 'id'], name='generations_price_book')],
                'constraints': [models.CheckConstraint(condition=models.Q(('percent', None), models.Q(('percent__gte', 0), ('percent__lte', 10000)), _connector='OR'), name='generations_percent_is_sane')],
            },
        ),
        migrations.RunPython(forwards, backwards),
        migrations.AddField(
            model_name='generation',
            name='list_credits',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='submission',
            name='billable_units',
            field=models.DecimalField(decimal_places=9, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name='submission',
            name='billed_dollars',
            field=models.DecimalField(decimal_places=9, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name='submission',
            name='units_due_at',
            field=models.DateTimeField(default=django.utils.timezone.now, null=True),
        ),
        migrations.AddIndex(
            model_name='submission',
            index=models.Index(condition=models.Q(('units_due_at__isnull', False)), fields=['units_due_at'], name='generations_units_due'),
        ),
        migrations.CreateModel(
            name='Charge',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('request_id', models.CharField(max_length=100)),
                ('endpoint', models.CharField(max_length=200)),
                ('billed_at', models.DateTimeField()),
                ('units', models.DecimalField(decimal_places=9, max_digits=20)),
                ('dollars', models.DecimalField(decimal_places=9, max_digits=20)),
                ('noted_at', models.DateTimeField(auto_now_add=True)),
                ('submission', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='charges', to='generations.submission')),
            ],
            options={
                'ordering': ('-billed_at', '-id'),
                'indexes': [models.Index(fields=['billed_at'], name='generations_charges_by_time')],
                'constraints': [models.UniqueConstraint(fields=('request_id', 'endpoint', 'billed_at'), name='generations_charge_once')],
            },
        ),
        _the_end.renewed(),
    ]
