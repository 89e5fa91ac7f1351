from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('operations', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='StoredSums',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=20)),
                ('last_id', models.BigIntegerField(default=0)),
                ('sums', models.JSONField(default=list)),
            ],
            options={
                'verbose_name_plural': 'stored sums',
                'constraints': [models.UniqueConstraint(fields=('name',), name='operations_sums_once')],
            },
        ),
    ]
