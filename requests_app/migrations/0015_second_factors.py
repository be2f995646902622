"""Since when a person has an authenticator app, and the epoch of their sessions."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0014_directory_records")]

    operations = [
        migrations.AddField(
            model_name="person",
            name="totp_set_up_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="authenticator app since"),
        ),
        migrations.AddField(
            model_name="person",
            name="session_epoch",
            # A default of the database's own: the code that still runs during an upgrade writes no such column.
            field=models.PositiveIntegerField(default=0, db_default=0, editable=False),
        ),
    ]
