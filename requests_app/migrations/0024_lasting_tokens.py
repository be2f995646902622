from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0023_signed_with")]

    operations = [
        migrations.AlterField(
            model_name="token",
            name="kind",
            field=models.CharField(
                choices=[
                    ("personal", "personal token"),
                    ("access", "access token of a client"),
                    ("lasting", "lasting token of a directory"),
                ],
                max_length=8,
                verbose_name="kind",
            ),
        ),
    ]
