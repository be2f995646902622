"""The decision point: its two kinds of content access, and the indexes by which a question finds its window."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0009_webhooks")]

    operations = [
        migrations.AlterField(
            model_name="contentaccess",
            name="kind",
            field=models.CharField(
                choices=[
                    ("list_asked", "asked for a list of names"),
                    ("listed", "names listed"),
                    ("opened", "opened"),
                    ("failed", "could not be read"),
                    ("cut", "cut off"),
                    ("list_allowed", "list allowed elsewhere"),
                    ("read_allowed", "opening allowed elsewhere"),
                ],
                max_length=12,
                verbose_name="kind",
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("closed_at", None)),
                fields=["engineer", "closes_at"],
                name="grant_unclosed_by_engineer",
            ),
        ),
        migrations.AddIndex(
            model_name="resource",
            index=models.Index(fields=["tenant", "service", "name"], name="resource_by_name"),
        ),
    ]
