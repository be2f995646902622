from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit_app", "0001_squashed_0009_keep_log_origin")]

    operations = [
        migrations.CreateModel(
            name="SignerLease",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("host", models.CharField(max_length=200)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("released_at", models.DateTimeField(null=True)),
                ("taken_from", models.CharField(blank=True, default="", max_length=200)),
                ("taken_over_at", models.DateTimeField(null=True)),
            ],
            options={"verbose_name": "signer lease"},
        ),
    ]
