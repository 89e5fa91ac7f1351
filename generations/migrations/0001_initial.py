import database.ids
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models

from database.triggers import CreateTrigger, append_only, final


# Once a generation has ended, its state and its settled credits are final.
ENDED_GENERATIONS_ARE_FINAL = final(
    'generations_generation',
    columns=('status', 'phase', 'credits', 'captured', 'released', 'failure_code', 'rule', 'finished_at'),
    only_when="OLD.phase = 'done'",
    message='A finished generation never changes.',
)
PRICES_ARE_APPEND_ONLY = append_only(
    'generations_pricebookentry', message='An entry of the price book is never changed or deleted; add another one.'
)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('credits', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Heartbeat',
            fields=[
                ('name', models.CharField(max_length=50, primary_key=True, serialize=False)),
                ('seen_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='LastServed',
            fields=[
                ('account', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='last_served', serialize=False, to='credits.account')),
                ('served_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='RejectedCallbacks',
            fields=[
                ('status', models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ('number', models.PositiveBigIntegerField(default=0)),
            ],
            options={
                'verbose_name_plural': 'rejected callbacks',
            },
        ),
        migrations.CreateModel(
            name='Batch',
            fields=[
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('purpose', models.CharField(blank=True, max_length=20)),
                ('notify', models.BooleanField(default=False)),
                ('notified_at', models.DateTimeField(null=True)),
                ('idempotency_key', models.CharField(max_length=255, null=True)),
                ('request_hash', models.CharField(blank=True, max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='batches', to='credits.account')),
            ],
            options={
                'verbose_name_plural': 'batches',
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='CircuitBreaker',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('opened_at', models.DateTimeField(null=True)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('probed_at', models.DateTimeField(null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='generations_one_circuit_breaker')],
            },
        ),
        migrations.CreateModel(
            name='Generation',
            fields=[
                ('next_attempt_at', models.DateTimeField(editable=False, null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('lease', models.UUIDField(editable=False, null=True)),
                ('attempts', models.PositiveIntegerField(default=0, editable=False)),
                ('crashes', models.PositiveIntegerField(default=0, editable=False)),
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('model', models.CharField(max_length=100)),
                ('endpoint', models.CharField(max_length=200)),
                ('kind', models.CharField(max_length=10)),
                ('input', models.JSONField(default=dict)),
                ('arguments', models.JSONField(default=dict)),
                ('preset', models.CharField(blank=True, max_length=50)),
                ('metadata', models.JSONField(default=dict)),
                ('webhook_url', models.CharField(blank=True, max_length=2000)),
                ('idempotency_key', models.CharField(max_length=255, null=True)),
                ('request_hash', models.CharField(blank=True, max_length=64)),
                ('arguments_hash', models.CharField(blank=True, max_length=64)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('processing', 'Processing'), ('completed', 'Completed'), ('failed', 'Failed')], default='pending', max_length=10)),
                ('phase', models.CharField(choices=[('queued', 'Queued'), ('submitting', 'Submitting'), ('unknown', 'Unknown'), ('waiting', 'Waiting'), ('running', 'Running'), ('storing', 'Storing'), ('done', 'Done')], default='queued', max_length=10)),
                ('version', models.PositiveIntegerField(default=1)),
                ('queue_position', models.PositiveIntegerField(null=True)),
                ('percent', models.PositiveSmallIntegerField(null=True)),
                ('message', models.CharField(blank=True, max_length=200)),
                ('failure_code', models.CharField(blank=True, choices=[('invalid_input', 'Invalid Input'), ('content_policy', 'Content Policy'), ('provider_error', 'Provider Error'), ('provider_timeout', 'Provider Timeout'), ('provider_unfunded', 'Provider Unfunded'), ('result_expired', 'Result Expired'), ('copy_failed', 'Copy Failed'), ('submission_unknown', 'Submission Unknown'), ('cancelled', 'Cancelled'), ('deadline', 'Deadline')], max_length=20)),
                ('failure_message', models.CharField(blank=True, max_length=500)),
                ('failure_errors', models.JSONField(default=list)),
                ('retryable', models.BooleanField(default=False)),
                ('details', models.JSONField(default=dict)),
                ('rule', models.CharField(blank=True, choices=[('delivered', 'Delivered'), ('partly_delivered', 'Partly Delivered'), ('flagged', 'Flagged'), ('refused_input', 'Refused Input'), ('content_policy', 'Content Policy'), ('provider_failed', 'Provider Failed'), ('cancelled_queued', 'Cancelled Queued'), ('cancelled_running', 'Cancelled Running'), ('our_deadline', 'Our Deadline'), ('not_stored', 'Not Stored'), ('never_clear', 'Never Clear')], max_length=20)),
                ('files_expected', models.PositiveIntegerField(default=1)),
                ('credits', models.BigIntegerField()),
                ('list_price_millidollars', models.BigIntegerField(null=True)),
                ('captured', models.BigIntegerField(default=0)),
                ('released', models.BigIntegerField(default=0)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('submitted_at', models.DateTimeField(null=True)),
                ('answered_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('erased_at', models.DateTimeField(null=True)),
                ('deadline_at', models.DateTimeField()),
                ('cancel_asked_at', models.DateTimeField(null=True)),
                ('cancel_asked_by', models.CharField(blank=True, choices=[('customer', 'Customer'), ('staff', 'Staff'), ('deadline', 'Deadline')], max_length=10)),
                ('cancel_sent_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='generations', to='credits.account')),
                ('api_key', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='generations', to='accounts.apikey')),
                ('batch', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='generations', to='generations.batch')),
                ('retry_of', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='retries', to='generations.generation')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveBigIntegerField(editable=False, null=True)),
                ('fact', models.CharField(max_length=30)),
                ('actor', models.CharField(max_length=150)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('processing', 'Processing'), ('completed', 'Completed'), ('failed', 'Failed')], max_length=10)),
                ('phase', models.CharField(choices=[('queued', 'Queued'), ('submitting', 'Submitting'), ('unknown', 'Unknown'), ('waiting', 'Waiting'), ('running', 'Running'), ('storing', 'Storing'), ('done', 'Done')], max_length=10)),
                ('version', models.PositiveIntegerField()),
                ('note', models.CharField(blank=True, max_length=500)),
                ('staff_note', models.CharField(blank=True, max_length=1000)),
                ('held_change', models.BigIntegerField(default=0)),
                ('balance_change', models.BigIntegerField(default=0)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='credits.account')),
                ('generation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='generations.generation')),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='Erasure',
            fields=[
                ('next_attempt_at', models.DateTimeField(editable=False, null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('lease', models.UUIDField(editable=False, null=True)),
                ('attempts', models.PositiveIntegerField(default=0, editable=False)),
                ('crashes', models.PositiveIntegerField(default=0, editable=False)),
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('asked_by', models.CharField(max_length=150)),
                ('asked_at', models.DateTimeField(auto_now_add=True)),
                ('files', models.JSONField(default=list)),
                ('provider_copy', models.CharField(blank=True, choices=[('none', 'there was none'), ('deleted', 'deleted at the provider'), ('kept', 'not deleted because FAL_ADMIN_KEY is not set: the provider keeps it for some weeks')], db_default='', max_length=10)),
                ('detail', models.CharField(blank=True, max_length=500)),
                ('done_at', models.DateTimeField(null=True)),
                ('generation', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='erasure', to='generations.generation')),
            ],
        ),
        migrations.CreateModel(
            name='OrderIntake',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('paused_at', models.DateTimeField(null=True)),
                ('reason', models.CharField(blank=True, max_length=300)),
            ],
            options={
                'verbose_name_plural': 'order intake',
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='generations_one_order_intake')],
            },
        ),
        migrations.CreateModel(
            name='Output',
            fields=[
                ('next_attempt_at', models.DateTimeField(editable=False, null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('lease', models.UUIDField(editable=False, null=True)),
                ('attempts', models.PositiveIntegerField(default=0, editable=False)),
                ('crashes', models.PositiveIntegerField(default=0, editable=False)),
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('index', models.PositiveIntegerField()),
                ('role', models.CharField(max_length=200)),
                ('counts', models.BooleanField(default=True)),
                ('source_url', models.TextField()),
                ('claimed_size_bytes', models.BigIntegerField(null=True)),
                ('flagged', models.BooleanField(default=False)),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('stored', 'Stored'), ('lost', 'Lost'), ('erased', 'Erased')], default='pending', max_length=10)),
                ('key', models.CharField(blank=True, max_length=200)),
                ('kind', models.CharField(blank=True, max_length=10)),
                ('content_type', models.CharField(blank=True, max_length=100)),
                ('size_bytes', models.BigIntegerField(null=True)),
                ('sha256', models.CharField(blank=True, max_length=64)),
                ('width', models.PositiveIntegerField(null=True)),
                ('height', models.PositiveIntegerField(null=True)),
                ('duration_seconds', models.FloatField(null=True)),
                ('detail', models.CharField(blank=True, max_length=500)),
                ('misses', models.PositiveIntegerField(default=0)),
                ('give_up_at', models.DateTimeField()),
                ('stored_at', models.DateTimeField(null=True)),
                ('generation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='outputs', to='generations.generation')),
            ],
            options={
                'ordering': ('index',),
            },
        ),
        migrations.CreateModel(
            name='PriceBookEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model', models.CharField(max_length=100)),
                ('percent', models.PositiveIntegerField(blank=True, help_text='Percent of the declared price, rounded up to whole credits. Empty: the declared price.', null=True)),
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
        migrations.CreateModel(
            name='Retention',
            fields=[
                ('account', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='retention', serialize=False, to='credits.account')),
                ('days', models.PositiveIntegerField()),
                ('changed_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('days__gte', 1)), name='generations_kept_for_a_day')],
            },
        ),
        migrations.CreateModel(
            name='Submission',
            fields=[
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField(default=1)),
                ('token', models.CharField(default=database.ids.new_token, editable=False, max_length=64)),
                ('state', models.CharField(choices=[('planned', 'not sent yet'), ('sent', 'sent, no answer yet'), ('unknown', 'sent, and the answer was lost'), ('accepted', 'accepted by fal'), ('refused', 'refused by fal'), ('missing', 'the answer was lost, and fal has no record of it'), ('surplus', 'a second job for one generation, which the operator pays')], default='planned', max_length=10)),
                ('request_id', models.CharField(max_length=100, null=True, unique=True)),
                ('status_url', models.CharField(blank=True, max_length=500)),
                ('response_url', models.CharField(blank=True, max_length=500)),
                ('cancel_url', models.CharField(blank=True, max_length=500)),
                ('detail', models.CharField(blank=True, max_length=500)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('answered_at', models.DateTimeField(null=True)),
                ('withdrawn_at', models.DateTimeField(null=True)),
                ('billable_units', models.DecimalField(decimal_places=9, max_digits=20, null=True)),
                ('billed_dollars', models.DecimalField(decimal_places=9, max_digits=20, null=True)),
                ('units_due_at', models.DateTimeField(default=django.utils.timezone.now, null=True)),
                ('generation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='submissions', to='generations.generation')),
            ],
        ),
        migrations.CreateModel(
            name='ProviderCallback',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('request_id', models.CharField(max_length=100)),
                ('body', models.BinaryField()),
                ('body_sha256', models.CharField(max_length=64)),
                ('outcome', models.CharField(choices=[('received', 'stored, not processed yet'), ('applied', 'changed the generation'), ('ignored', 'said nothing new, or came after the end'), ('orphan', 'belongs to no submission'), ('unclear', 'without a verdict; fal is asked instead')], default='received', max_length=10)),
                ('repeats', models.PositiveIntegerField(default=0)),
                ('received_at', models.DateTimeField(auto_now_add=True)),
                ('submission', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='callbacks', to='generations.submission')),
            ],
            options={
                'verbose_name_plural': 'provider callbacks',
            },
        ),
        migrations.CreateModel(
            name='FalAccount',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('user_id', models.CharField(max_length=200)),
                ('pinned_at', models.DateTimeField(auto_now_add=True)),
                ('pinned_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='generations.submission')),
            ],
        ),
        migrations.CreateModel(
            name='Upload',
            fields=[
                ('next_attempt_at', models.DateTimeField(editable=False, null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('lease', models.UUIDField(editable=False, null=True)),
                ('attempts', models.PositiveIntegerField(default=0, editable=False)),
                ('crashes', models.PositiveIntegerField(default=0, editable=False)),
                ('id', models.UUIDField(default=database.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('file_name', models.CharField(max_length=255)),
                ('announced_type', models.CharField(max_length=50)),
                ('announced_size_bytes', models.BigIntegerField()),
                ('state', models.CharField(choices=[('pending', 'declared; its bytes may have arrived'), ('ready', 'inspected, and can be used'), ('refused', 'not an image'), ('expired', 'never completed'), ('erased', 'deleted by its owner or by a retention rule')], default='pending', max_length=10)),
                ('detail', models.CharField(blank=True, max_length=300)),
                ('key', models.CharField(blank=True, max_length=200)),
                ('thumbnail_key', models.CharField(blank=True, max_length=200)),
                ('content_type', models.CharField(blank=True, max_length=50)),
                ('size_bytes', models.BigIntegerField(null=True)),
                ('sha256', models.CharField(blank=True, max_length=64)),
                ('thumbnail_size_bytes', models.PositiveIntegerField(null=True)),
                ('width', models.PositiveIntegerField(null=True)),
                ('height', models.PositiveIntegerField(null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField()),
                ('completed_at', models.DateTimeField(null=True)),
                ('swept_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='uploads', to='credits.account')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='InputFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('path', models.CharField(max_length=200)),
                ('generation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='input_files', to='generations.generation')),
                ('output', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='generations.output')),
                ('upload', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='generations.upload')),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.AddIndex(
            model_name='batch',
            index=models.Index(condition=models.Q(('notified_at', None), ('notify', True)), fields=['id'], name='generations_batches_to_tell'),
        ),
        migrations.AddConstraint(
            model_name='batch',
            constraint=models.UniqueConstraint(fields=('account', 'idempotency_key'), name='generations_batch_key_once'),
        ),
        migrations.AddIndex(
            model_name='generation',
            index=models.Index(fields=['account', '-id'], name='generations_of_account'),
        ),
        migrations.AddIndex(
            model_name='generation',
            index=models.Index(fields=['account', 'arguments_hash', '-id'], name='generations_by_arguments_hash'),
        ),
        migrations.AddIndex(
            model_name='generation',
            index=models.Index(condition=models.Q(('phase', 'done'), _negated=True), fields=['next_attempt_at'], name='generations_due'),
        ),
        migrations.AddConstraint(
            model_name='generation',
            constraint=models.UniqueConstraint(fields=('account', 'idempotency_key'), name='generations_key_once_per_account'),
        ),
        migrations.AddConstraint(
            model_name='generation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('phase', 'done'), ('status__in', ['completed', 'failed'])), models.Q(('phase__in', ['queued', 'submitting', 'unknown']), ('status', 'pending')), models.Q(('phase__in', ['waiting', 'running', 'storing']), ('status', 'processing')), _connector='OR'), name='generations_phase_fits_status'),
        ),
        migrations.AddConstraint(
            model_name='generation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('phase', 'done'), _negated=True), ('credits', django.db.models.expressions.CombinedExpression(models.F('captured'), '+', models.F('released'))), _connector='OR'), name='generations_settled_when_done'),
        ),
        migrations.AddConstraint(
            model_name='generation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'failed'), _negated=True), ('captured', 0), _connector='OR'), name='generations_failed_costs_nothing'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('number', None)), fields=['account', 'id'], name='generations_event_unnumbered'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.UniqueConstraint(fields=('account', 'number'), name='generations_event_number_once'),
        ),
        migrations.AddIndex(
            model_name='erasure',
            index=models.Index(condition=models.Q(('done_at', None)), fields=['next_attempt_at'], name='generations_to_erase'),
        ),
        migrations.AddIndex(
            model_name='output',
            index=models.Index(condition=models.Q(('state', 'pending')), fields=['next_attempt_at'], name='generations_outputs_due'),
        ),
        migrations.AddConstraint(
            model_name='output',
            constraint=models.UniqueConstraint(fields=('generation', 'index'), name='generations_output_index_once'),
        ),
        migrations.AddConstraint(
            model_name='output',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'stored'), _negated=True), models.Q(models.Q(('key', ''), _negated=True), models.Q(('sha256', ''), _negated=True), ('size_bytes__gt', 0), ('size_bytes__isnull', False)), _connector='OR'), name='generations_stored_is_verified'),
        ),
        migrations.AddIndex(
            model_name='submission',
            index=models.Index(condition=models.Q(('units_due_at__isnull', False)), fields=['units_due_at'], name='generations_units_due'),
        ),
        migrations.AddConstraint(
            model_name='submission',
            constraint=models.UniqueConstraint(fields=('generation', 'number'), name='generations_attempts_are_numbered'),
        ),
        migrations.AddConstraint(
            model_name='providercallback',
            constraint=models.UniqueConstraint(condition=models.Q(('submission__isnull', False)), fields=('submission', 'body_sha256'), name='generations_callback_once'),
        ),
        migrations.AddConstraint(
            model_name='providercallback',
            constraint=models.UniqueConstraint(condition=models.Q(('submission', None)), fields=('request_id', 'body_sha256'), name='generations_orphan_callback_once'),
        ),
        migrations.AddConstraint(
            model_name='falaccount',
            constraint=models.CheckConstraint(condition=models.Q(('id', 1)), name='generations_one_fal_account'),
        ),
        migrations.AddIndex(
            model_name='upload',
            index=models.Index(fields=['account', '-id'], name='generations_uploads_of_account'),
        ),
        migrations.AddIndex(
            model_name='upload',
            index=models.Index(condition=models.Q(('swept_at', None)), fields=['created_at'], name='generations_uploads_to_sweep'),
        ),
        migrations.AddConstraint(
            model_name='upload',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'ready'), _negated=True), models.Q(models.Q(('key', ''), _negated=True), models.Q(('thumbnail_key', ''), _negated=True), models.Q(('sha256', ''), _negated=True), ('size_bytes__gt', 0), ('size_bytes__isnull', False)), _connector='OR'), name='generations_upload_is_verified'),
        ),
        migrations.AddConstraint(
            model_name='inputfile',
            constraint=models.UniqueConstraint(fields=('generation', 'path'), name='generations_one_input_file_per_path'),
        ),
        migrations.AddConstraint(
            model_name='inputfile',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('output__isnull', False), ('upload', None)), models.Q(('output', None), ('upload__isnull', False)), _connector='OR'), name='generations_input_file_is_one_file'),
        ),
        # At the end: SQLite rebuilds a table for a new constraint, and a rebuilt table has no triggers.
        CreateTrigger(ENDED_GENERATIONS_ARE_FINAL),
        CreateTrigger(PRICES_ARE_APPEND_ONLY),
    ]
