"""Pictures that customers bring, and what a generation stands on."""

import django.db.models.deletion
from django.db import migrations, models

import generations.ids


class Migration(migrations.Migration):
    dependencies = [("generations", "0005_price_book")]
    operations = [
        migrations.CreateModel(
            name='Upload',
            fields=[
                ('next_attempt_at', models.DateTimeField(editable=False, null=True)),
                ('leased_until', models.DateTimeField(editable=False, null=True)),
                ('lease', models.UUIDField(editable=False, null=True)),
                ('attempts', models.PositiveIntegerField(default=0, editable=False)),
                ('crashes', models.PositiveIntegerField(default=0, editable=False)),
                ('id', models.UUIDField(default=generations.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('file_name', models.CharField(max_length=255)),
                ('announced_type', models.CharField(max_length=50)),
                ('announced_size', models.BigIntegerField()),
                ('state', models.CharField(choices=[('pending', 'announced; its bytes may have come'), ('ready', 'looked at, and fit to be used'), ('refused', 'not a picture'), ('expired', 'never completed'), ('erased', 'its owner, or a rule of his, removed it')], default='pending', max_length=10)),
                ('detail', models.CharField(blank=True, max_length=300)),
                ('key', models.CharField(blank=True, max_length=200)),
                ('thumbnail_key', models.CharField(blank=True, max_length=200)),
                ('content_type', models.CharField(blank=True, max_length=50)),
                ('size', models.BigIntegerField(null=True)),
                ('sha256', models.CharField(blank=True, max_length=64)),
                ('thumbnail_size', models.PositiveIntegerField(null=True)),
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
            name='GenerationSource',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('path', models.CharField(max_length=200)),
                ('generation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sources', to='generations.generation')),
                ('output', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='generations.output')),
                ('upload', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='generations.upload')),
            ],
            options={
                'ordering': ('id',),
            },
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
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'ready'), _negated=True), models.Q(models.Q(('key', ''), _negated=True), models.Q(('thumbnail_key', ''), _negated=True), models.Q(('sha256', ''), _negated=True), ('size__gt', 0), ('size__isnull', False)), _connector='OR'), name='generations_upload_is_verified'),
        ),
        migrations.AddConstraint(
            model_name='generationsource',
            constraint=models.UniqueConstraint(fields=('generation', 'path'), name='generations_one_source_a_place'),
        ),
        migrations.AddConstraint(
            model_name='generationsource',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('output__isnull', False), ('upload', None)), models.Q(('output', None), ('upload__isnull', False)), _connector='OR'), name='generations_source_is_one_file'),
        ),
    ]
