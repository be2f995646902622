"""How many of the names that a list shows no earlier list of its window held."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0027_mutes"),
    ]

    operations = [
        migrations.AddField(
            model_name="contentaccess",
            name="listed_ids",
            field=models.BinaryField(db_default=b"", default=b"", editable=False),
        ),
        migrations.AddField(
            model_name="contentaccess",
            name="new_names",
            field=models.PositiveIntegerField(db_default=0, default=0, verbose_name="names listed for the first time"),
        ),
    ]
