"""How often something was guessed, counted for all processes together."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0020_signed_decisions")]

    operations = [
        migrations.CreateModel(
            name="Tries",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subject", models.CharField(max_length=80, unique=True)),
                ("since", models.DateTimeField()),
                ("count", models.PositiveIntegerField(default=0)),
            ],
        ),
    ]
