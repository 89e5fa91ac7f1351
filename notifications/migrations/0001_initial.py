import database.ids
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('credits', '0001_initial'),
        ('generations', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Subscriber',
            fields=[
                ('salt', models.CharField(default=database.ids.new_token, editable=False, max_length=64)),
                ('previous_salt', models.CharField(blank=True, editable=False, max_length=64)),
                ('previous_until', models.DateTimeField(editable=False, null=True)),
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('email_preference', models.CharField(choices=[('when_asked', 'when an order requests it'), ('always', 'about everything that ends'), ('never', 'never')], default='when_asked', max_length=10, verbose_name='e-mail preference')),
                ('last_event_number', models.PositiveBigIntegerField(default=0, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('account', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='subscriber', to='credits.account')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('next_attempt_at', models.DateTimeField(editable=False, null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('lease', models.UUIDField(editable=False, null=True)),
                ('attempts', models.PositiveIntegerField(default=0, editable=False)),
                ('crashes', models.PositiveIntegerField(default=0, editable=False)),
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('message_id', models.UUIDField(default=database.ids.new_id, editable=False)),
                ('url', models.CharField(blank=True, max_length=2000)),
                ('type', models.CharField(choices=[('generation.completed', 'Completed'), ('generation.failed', 'Failed'), ('generation.progressed', 'Progressed'), ('credits.low', 'Credits Low'), ('webhook.test', 'Test')], max_length=30)),
                ('version', models.PositiveIntegerField(null=True)),
                ('data', models.JSONField(default=dict)),
                ('state', models.CharField(choices=[('pending', 'is due, or will be'), ('delivered', 'answered with a 2xx status'), ('exhausted', 'given up; it can be sent again by hand')], default='pending', max_length=10)),
                ('detail', models.CharField(blank=True, max_length=200)),
                ('tries', models.PositiveIntegerField(default=0, editable=False)),
                ('happened_at', models.DateTimeField(auto_now_add=True)),
                ('delivered_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='webhook_deliveries', to='credits.account')),
                ('generation', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='webhook_deliveries', to='generations.generation')),
            ],
            options={
                'verbose_name_plural': 'webhook deliveries',
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='WebhookAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('status', models.PositiveSmallIntegerField(null=True)),
                ('duration_ms', models.PositiveIntegerField()),
                ('answer', models.CharField(blank=True, max_length=1000)),
                ('error', models.CharField(blank=True, max_length=300)),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='log', to='notifications.webhookdelivery')),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('salt', models.CharField(default=database.ids.new_token, editable=False, max_length=64)),
                ('previous_salt', models.CharField(blank=True, editable=False, max_length=64)),
                ('previous_until', models.DateTimeField(editable=False, null=True)),
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('url', models.CharField(max_length=2000)),
                ('description', models.CharField(blank=True, max_length=200)),
                ('types', models.JSONField(default=list)),
                ('credits_low_at', models.BigIntegerField(null=True)),
                ('is_low', models.BooleanField(default=False, editable=False)),
                ('failing_since', models.DateTimeField(editable=False, null=True)),
                ('disabled_at', models.DateTimeField(null=True)),
                ('disabled_because', models.CharField(blank=True, max_length=200)),
                ('deleted_at', models.DateTimeField(editable=False, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='webhook_endpoints', to='credits.account')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.AddField(
            model_name='webhookdelivery',
            name='endpoint',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='notifications.webhookendpoint'),
        ),
        migrations.CreateModel(
            name='EmailNotification',
            fields=[
                ('next_attempt_at', models.DateTimeField(editable=False, null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('lease', models.UUIDField(editable=False, null=True)),
                ('attempts', models.PositiveIntegerField(default=0, editable=False)),
                ('crashes', models.PositiveIntegerField(default=0, editable=False)),
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[('pending', 'to be sent'), ('sent', 'handed to the mail server, unless its worker died meanwhile'), ('given_up', 'not sent, or unknown whether it was')], default='pending', max_length=10)),
                ('detail', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='email_notifications', to='credits.account')),
                ('batch', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='email_notification', to='generations.batch')),
                ('generation', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='email_notification', to='generations.generation')),
                ('endpoint', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='email_notifications', to='notifications.webhookendpoint')),
            ],
        ),
        migrations.AddIndex(
            model_name='webhookendpoint',
            index=models.Index(condition=models.Q(('deleted_at', None), ('disabled_at', None)), fields=['account'], name='notifications_enabled_of'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(condition=models.Q(('next_attempt_at', None), _negated=True), fields=['next_attempt_at'], name='notifications_webhooks_due'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['account', '-id'], name='notifications_webhooks_of'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['happened_at'], name='notifications_webhooks_old'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.UniqueConstraint(condition=models.Q(('endpoint__isnull', False), ('generation__isnull', False)), fields=('generation', 'version', 'type', 'endpoint'), name='notifications_once_per_endpoint'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.UniqueConstraint(condition=models.Q(('endpoint', None), ('generation__isnull', False)), fields=('generation', 'version', 'type'), name='notifications_once_per_order_url'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('endpoint', None), models.Q(('url', ''), _negated=True)), models.Q(('endpoint__isnull', False), ('url', '')), _connector='OR'), name='notifications_webhook_has_one_url'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('next_attempt_at__isnull', False), ('state', 'pending')), models.Q(models.Q(('state', 'pending'), _negated=True), ('next_attempt_at', None)), _connector='OR'), name='notifications_pending_webhook_is_due'),
        ),
        migrations.AddIndex(
            model_name='emailnotification',
            index=models.Index(condition=models.Q(('state', 'pending')), fields=['next_attempt_at'], name='notifications_emails_due'),
        ),
        migrations.AddConstraint(
            model_name='emailnotification',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('batch', None), ('endpoint', None), ('generation__isnull', False)), models.Q(('batch__isnull', False), ('endpoint', None), ('generation', None)), models.Q(('batch', None), ('endpoint__isnull', False), ('generation', None)), _connector='OR'), name='notifications_email_has_one_subject'),
        ),
    ]
