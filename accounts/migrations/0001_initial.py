import accounts.models
import database.ids
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('credits', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Bucket',
            fields=[
                ('name', models.CharField(max_length=100, primary_key=True, serialize=False)),
                ('full_at', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uid', models.UUIDField(default=database.ids.new_id, editable=False, unique=True)),
                ('name', models.CharField(max_length=100)),
                ('prefix', models.CharField(editable=False, max_length=16)),
                ('digest', models.CharField(editable=False, max_length=64, unique=True)),
                ('scopes', models.JSONField(default=accounts.models.default_scopes)),
                ('expires_at', models.DateTimeField(null=True)),
                ('credits_max', models.BigIntegerField(null=True)),
                ('model_slugs', models.JSONField(default=list)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_used_at', models.DateTimeField(editable=False, null=True)),
                ('revoked_at', models.DateTimeField(null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'API key',
            },
        ),
        migrations.CreateModel(
            name='UserLimits',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('requests_per_minute', models.PositiveIntegerField(blank=True, null=True)),
                ('running_max', models.PositiveIntegerField(blank=True, null=True)),
                ('credits_per_day', models.PositiveIntegerField(blank=True, null=True)),
                ('credits_per_month', models.PositiveIntegerField(blank=True, null=True)),
                ('account', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='limits', to='credits.account')),
            ],
            options={
                'verbose_name_plural': 'user limits',
            },
        ),
    ]
