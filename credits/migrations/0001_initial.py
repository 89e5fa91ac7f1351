import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models

from database.triggers import CreateTrigger, append_only

ENTRIES_ARE_APPEND_ONLY = append_only(
    'credits_entry', message='A ledger entry is never changed or deleted; post another entry instead.'
)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('balance', models.BigIntegerField(default=0)),
                ('held', models.BigIntegerField(default=0)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='account', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('balance__gte', 0)), name='credits_balance_not_negative'),
                    models.CheckConstraint(condition=models.Q(('held__gte', 0)), name='credits_held_not_negative'),
                    models.CheckConstraint(condition=models.Q(('held__lte', models.F('balance'))), name='credits_held_within_balance'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Hold',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reference', models.CharField(max_length=100, unique=True)),
                ('amount', models.BigIntegerField()),
                ('captured', models.BigIntegerField(default=0)),
                ('released', models.BigIntegerField(default=0)),
                ('refunded', models.BigIntegerField(default=0)),
                ('opened_at', models.DateTimeField(auto_now_add=True)),
                ('settled_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='credits.account')),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('settled_at', None)), fields=['account'], name='credits_hold_open'),
                ],
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('amount__gte', 0), ('amount__lte', 2147483647)), name='credits_hold_amount'),
                    models.CheckConstraint(condition=models.Q(('captured__gte', 0), ('released__gte', 0), models.Q(models.Q(('captured', 0), ('released', 0), ('settled_at', None)), models.Q(('amount', django.db.models.expressions.CombinedExpression(models.F('captured'), '+', models.F('released'))), ('settled_at__isnull', False)), _connector='OR')), name='credits_hold_settles_in_full'),
                    models.CheckConstraint(condition=models.Q(('refunded__gte', 0), ('refunded__lte', models.F('captured'))), name='credits_refund_within_capture'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Entry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('grant', 'Grant'), ('hold', 'Hold'), ('capture', 'Capture'), ('release', 'Release'), ('refund', 'Refund'), ('adjust', 'Adjust')], max_length=8)),
                ('balance_change', models.BigIntegerField(default=0)),
                ('held_change', models.BigIntegerField(default=0)),
                ('counter_side', models.CharField(blank=True, choices=[('', 'within the account'), ('treasury', 'Treasury'), ('revenue', 'Revenue')], default='', max_length=8)),
                ('key', models.CharField(max_length=100, null=True, unique=True)),
                ('actor', models.CharField(blank=True, max_length=150)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='credits.account')),
                ('hold', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='credits.hold')),
            ],
            options={
                'verbose_name_plural': 'entries',
                'indexes': [
                    models.Index(fields=['account', '-id'], name='credits_statement'),
                ],
                'constraints': [
                    models.UniqueConstraint(condition=models.Q(('kind', 'hold')), fields=('hold',), name='credits_hold_opens_once'),
                    models.UniqueConstraint(condition=models.Q(('kind__in', ['capture', 'release'])), fields=('hold',), name='credits_hold_settles_once'),
                    models.CheckConstraint(condition=models.Q(models.Q(('balance_change', 0), ('counter_side', '')), models.Q(('counter_side', ''), _negated=True), _connector='OR'), name='credits_change_has_two_sides'),
                    models.CheckConstraint(condition=models.Q(models.Q(('hold__isnull', False), ('kind__in', ['hold', 'capture', 'release'])), models.Q(('hold__isnull', False), ('key__isnull', False), ('kind', 'refund')), models.Q(('hold__isnull', True), ('key__isnull', False), ('kind__in', ['grant', 'adjust'])), _connector='OR'), name='credits_entry_has_cause'),
                ],
            },
        ),
        CreateTrigger(ENTRIES_ARE_APPEND_ONLY),
    ]
