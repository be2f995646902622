"""The open windows of one engineer at one tenant, which the decision point asks for, have an index of their own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0015_second_factors"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("closed_at", None)), fields=["tenant", "engineer"], name="grant_unclosed_in_tenant"
            ),
        ),
    ]
