"""Adds since when fal has not answered, the seed of a submission, and names for more states."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('generations', '0008_write_attempts_and_storage_marks'),
    ]

    operations = [
        migrations.AddField(
            model_name='circuitbreaker',
            name='refused_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='generation',
            name='unanswered_since',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='generation',
            name='unanswered_until',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='output',
            name='unanswered_since',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='output',
            name='unanswered_until',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='submission',
            name='seed',
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name='generation',
            name='failure_code',
            field=models.CharField(blank=True, choices=[('invalid_input', 'Invalid Input'), ('content_policy', 'Content Policy'), ('provider_error', 'Provider Error'), ('provider_timeout', 'Provider Timeout'), ('provider_unfunded', 'Provider Unfunded'), ('result_expired', 'Result Expired'), ('copy_failed', 'Copy Failed'), ('submission_unknown', 'Submission Unknown'), ('cancelled', 'Cancelled'), ('deadline', 'Deadline'), ('internal_error', 'Internal Error')], max_length=20),
        ),
        migrations.AlterField(
            model_name='generation',
            name='rule',
            field=models.CharField(blank=True, choices=[('delivered', 'Delivered'), ('partly_delivered', 'Partly Delivered'), ('flagged', 'Flagged'), ('refused_input', 'Refused Input'), ('content_policy', 'Content Policy'), ('provider_failed', 'Provider Failed'), ('cancelled_queued', 'Cancelled Queued'), ('cancelled_running', 'Cancelled Running'), ('our_deadline', 'Our Deadline'), ('not_stored', 'Not Stored'), ('never_clear', 'Never Clear'), ('our_error', 'Our Error')], max_length=20),
        ),
        migrations.AlterField(
            model_name='providercallback',
            name='outcome',
            field=models.CharField(choices=[('received', 'stored, not processed yet'), ('applied', 'changed the generation'), ('ignored', 'said nothing new, or came after the end'), ('orphan', 'belongs to no submission'), ('unclear', 'without a verdict; fal is asked instead'), ('conflict', 'contradicts the verdict that counts')], default='received', max_length=10),
        ),
        migrations.AlterField(
            model_name='submission',
            name='state',
            field=models.CharField(choices=[('planned', 'not sent yet'), ('sent', 'sent, no answer yet'), ('unknown', 'sent, and the answer was lost'), ('accepted', 'accepted by fal'), ('refused', 'refused by fal'), ('missing', 'the answer was lost, and fal has no record of it'), ('surplus', 'a second job for one generation, which the operator pays'), ('disputed', 'fal named a request that another order has')], default='planned', max_length=10),
        ),
    ]
