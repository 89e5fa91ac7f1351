"""Indexes the deliveries by state and by endpoint, newest first, and drops the prefixes of other indexes."""

from django.db import migrations, models
from django.db.models import PROTECT, ForeignKey, Q

from database.indexes import AddIndex, DropFieldIndexes, RemoveIndex


class Migration(migrations.Migration):
    # PostgreSQL builds an index concurrently only outside of a transaction.
    atomic = False

    dependencies = [('notifications', '0001_initial')]

    operations = [
        AddIndex(
            'webhookdelivery', models.Index(fields=['account', 'state', '-id'], name='notifications_webhooks_state')
        ),
        AddIndex(
            'webhookdelivery',
            models.Index(
                fields=['endpoint', '-id'], name='notifications_webhooks_to', condition=Q(endpoint__isnull=False)
            ),
        ),
        AddIndex(
            'webhookdelivery',
            models.Index(
                fields=['next_attempt_at'],
                name='notifications_webhooks_next',
                condition=Q(next_attempt_at__isnull=False),
            ),
        ),
        RemoveIndex('webhookdelivery', 'notifications_webhooks_due'),
        DropFieldIndexes(
            'webhookdelivery',
            'endpoint',
            ForeignKey('notifications.webhookendpoint', PROTECT, related_name='deliveries', null=True, db_index=False),
        ),
        DropFieldIndexes(
            'webhookdelivery',
            'account',
            ForeignKey('credits.account', PROTECT, related_name='webhook_deliveries', db_index=False),
        ),
    ]
