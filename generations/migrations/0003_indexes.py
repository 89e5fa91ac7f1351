"""Adds the indexes that keep every list and every loop fast, and drops those that are a prefix of another.

No table is rebuilt, so the triggers stay. On PostgreSQL orders are accepted meanwhile.
"""

from django.db import migrations, models
from django.db.models import PROTECT, ForeignKey, Q

from database.indexes import AddIndex, CreatePostgresIndex, DropFieldIndexes, RemoveIndex


class Migration(migrations.Migration):
    # PostgreSQL builds an index concurrently only outside of a transaction.
    atomic = False

    dependencies = [('generations', '0002_standard_names')]

    operations = [
        # --- Lists with a filter, and pages ---
        AddIndex('batch', models.Index(fields=['account', '-id'], name='generations_batches_of_account')),
        AddIndex('generation', models.Index(fields=['account', 'status', '-id'], name='generations_by_status')),
        AddIndex('generation', models.Index(fields=['account', 'kind', '-id'], name='generations_by_kind')),
        AddIndex('generation', models.Index(fields=['account', 'model', '-id'], name='generations_by_model')),
        # Without fast updates: their pending list is read by every query, and is written back by an unlucky order.
        # Most metadata is empty, and is left out. The query of `api.filters` repeats the condition.
        CreatePostgresIndex(
            'generations_metadata',
            "generations_generation USING gin (metadata jsonb_path_ops) WITH (fastupdate = off) "
            "WHERE NOT (metadata = '{}'::jsonb)",
        ),
        # --- Orders, and loops of the workers ---
        AddIndex(
            'generation',
            models.Index(fields=['next_attempt_at'], name='generations_queued', condition=Q(phase='queued')),
        ),
        AddIndex(
            'generation',
            models.Index(fields=['arguments_hash', 'account', '-id'], name='generations_same_arguments'),
        ),
        RemoveIndex('generation', 'generations_by_arguments_hash'),
        AddIndex('generation', models.Index(fields=['-finished_at'], name='generations_ended', condition=Q(phase='done'))),
        AddIndex(
            'generation',
            models.Index(
                fields=['account', 'finished_at'],
                name='generations_retained',
                condition=Q(phase='done', erased_at=None),
            ),
        ),
        AddIndex(
            'submission',
            models.Index(
                fields=['units_due_at'],
                name='generations_units_to_ask',
                condition=Q(units_due_at__isnull=False) & ~Q(response_url=''),
            ),
        ),
        RemoveIndex('submission', 'generations_units_due'),
        AddIndex(
            'submission',
            models.Index(
                fields=['id'], name='generations_surplus', condition=Q(state='surplus', surplus_cancelled_at=None)
            ),
        ),
        AddIndex(
            'submission',
            models.Index(
                fields=['generation'], name='generations_unanswered', condition=Q(state__in=['sent', 'unknown'])
            ),
        ),
        AddIndex(
            'providercallback',
            models.Index(fields=['id'], name='generations_callbacks_received', condition=Q(outcome='received')),
        ),
        # --- Foreign keys that are empty in most rows: an index of the others ---
        AddIndex(
            'generation',
            models.Index(fields=['retry_of'], name='generations_retries', condition=Q(retry_of__isnull=False)),
        ),
        AddIndex(
            'generation',
            models.Index(fields=['batch'], name='generations_of_batch', condition=Q(batch__isnull=False)),
        ),
        AddIndex(
            'generation',
            models.Index(fields=['api_key'], name='generations_of_api_key', condition=Q(api_key__isnull=False)),
        ),
        DropFieldIndexes(
            'generation',
            'retry_of',
            ForeignKey('generations.generation', PROTECT, related_name='retries', null=True, db_index=False),
        ),
        DropFieldIndexes(
            'generation',
            'batch',
            ForeignKey('generations.batch', PROTECT, related_name='generations', null=True, db_index=False),
        ),
        DropFieldIndexes(
            'generation',
            'api_key',
            ForeignKey('accounts.apikey', PROTECT, related_name='generations', null=True, db_index=False),
        ),
        # --- Foreign keys with which another index begins ---
        DropFieldIndexes(
            'generation', 'account', ForeignKey('credits.account', PROTECT, related_name='generations', db_index=False)
        ),
        DropFieldIndexes(
            'batch', 'account', ForeignKey('credits.account', PROTECT, related_name='batches', db_index=False)
        ),
        DropFieldIndexes(
            'event', 'account', ForeignKey('credits.account', PROTECT, related_name='events', db_index=False)
        ),
        DropFieldIndexes(
            'upload', 'account', ForeignKey('credits.account', PROTECT, related_name='uploads', db_index=False)
        ),
        DropFieldIndexes(
            'inputfile',
            'generation',
            ForeignKey('generations.generation', PROTECT, related_name='input_files', db_index=False),
        ),
        DropFieldIndexes(
            'output', 'generation', ForeignKey('generations.generation', PROTECT, related_name='outputs', db_index=False)
        ),
        DropFieldIndexes(
            'submission',
            'generation',
            ForeignKey('generations.generation', PROTECT, related_name='submissions', db_index=False),
        ),
        DropFieldIndexes(
            'providercallback',
            'submission',
            ForeignKey('generations.submission', PROTECT, related_name='callbacks', null=True, db_index=False),
        ),
        # --- PostgreSQL's second index of a unique text, which only LIKE uses ---
        DropFieldIndexes('submission', 'request_id', models.CharField(max_length=100, null=True, unique=True)),
        DropFieldIndexes('heartbeat', 'name', models.CharField(max_length=50, primary_key=True, serialize=False)),
    ]
