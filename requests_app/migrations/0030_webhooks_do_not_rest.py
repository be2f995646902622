"""A webhook no longer rests as a whole: each message has its own schedule."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0029_count_the_names_of_earlier_lists")]

    operations = [
        # The column stays for code that still runs during an upgrade. It is nullable, and nothing reads it any more.
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name="webhook", name="resume_at")]
        )
    ]
