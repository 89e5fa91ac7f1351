import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('generations', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AlertEpisode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=20)),
                ('subject', models.CharField(blank=True, max_length=40)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('last_seen_at', models.DateTimeField()),
            ],
            options={
                'ordering': ('name', 'subject'),
                'constraints': [models.UniqueConstraint(fields=('name', 'subject'), name='operations_one_episode')],
            },
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
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('submission', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='charges', to='generations.submission')),
            ],
            options={
                'ordering': ('-billed_at', '-id'),
                'indexes': [models.Index(fields=['billed_at'], name='operations_charges_by_time')],
                'constraints': [models.UniqueConstraint(fields=('request_id', 'endpoint', 'billed_at'), name='operations_charge_once')],
            },
        ),
    ]
