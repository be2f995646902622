"""For whom a deputy decided, beside the decision; of earlier ones the log knows the name."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0034_staff_terms")]

    operations = [
        migrations.AddField(
            model_name="decision",
            name="deputy_for",
            field=models.JSONField(blank=True, editable=False, null=True, verbose_name="deputy for"),
        ),
    ]
