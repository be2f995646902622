"""By which key a decision was signed. Code that does not know of it goes on deciding, and leaves it empty."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0022_approval_page")]

    operations = [
        migrations.AddField(
            model_name="decision",
            name="signed_with",
            field=models.JSONField(blank=True, editable=False, null=True, verbose_name="signed with"),
        ),
    ]
