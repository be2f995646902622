from django.db import migrations, models

LEVELS = [("names", "names only"), ("view", "view"), ("read", "view and download")]


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0053_named_invitations"),
    ]

    operations = [
        migrations.AlterField(
            model_name="accessrequest",
            name="level",
            field=models.CharField(choices=LEVELS, max_length=8, verbose_name="how much"),
        ),
        migrations.AlterField(
            model_name="grant",
            name="level",
            field=models.CharField(choices=LEVELS, max_length=8, verbose_name="how much"),
        ),
        migrations.AlterField(
            model_name="contentaccess",
            name="kind",
            field=models.CharField(
                choices=[
                    ("list_asked", "requested a list of names"),
                    ("listed", "names listed"),
                    ("opened", "opened"),
                    ("downloaded", "downloaded"),
                    ("failed", "could not be read"),
                    ("cut", "interrupted"),
                    ("list_allowed", "listing through another service allowed"),
                    ("view_allowed", "viewing through another service allowed"),
                    ("read_allowed", "reading through another service allowed"),
                    ("download_allowed", "download through another service allowed"),
                ],
                max_length=16,
                verbose_name="kind",
            ),
        ),
    ]
