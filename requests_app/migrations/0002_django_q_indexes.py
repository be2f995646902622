"""The two look-ups that django-q2 makes several times a second scan whole tables without these."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0001_initial"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX IF NOT EXISTS lockbox_ormq_key_lock ON django_q_ormq (key, lock)",
            "DROP INDEX IF EXISTS lockbox_ormq_key_lock",
        ),
        migrations.RunSQL(
            "CREATE INDEX IF NOT EXISTS lockbox_schedule_next_run ON django_q_schedule (next_run)",
            "DROP INDEX IF EXISTS lockbox_schedule_next_run",
        ),
    ]
